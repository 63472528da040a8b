"""From what a request says of labels to checked cases, before any job is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from slicebank_models.errors import BadTask, BadTrainingValue, MalformedLabels
from slicebank_models.heads.protocol import Pooling, ProtocolSpec
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, LabelTable, resolve_targets
from slicebank_models.training.splits_file import rename_patients
from slicebank_service.cohorts.cases import LabelledCase, Labels, Matched, match_bags
from slicebank_service.cohorts.reading import Reading
from slicebank_service.cohorts.table import read_labels
from slicebank_service.cohorts.unmatched import check_matches
from slicebank_service.context import Context
from slicebank_store.types import JSON


@dataclass(frozen=True, slots=True)
class Cohort:
    """Labelled cases whose bags are stored.

    Attributes:
        task: with the names of its outputs.
    """

    task: TaskSpec
    matched: Matched

    @property
    def cases(self) -> list[Case]:
        """As the models know them: the index is the place in `matched.cases`."""
        return [
            Case(index, case.patient, case.target, case.unit, case.site)
            for index, case in enumerate(self.matched.cases)
        ]


def prepare_cohort(
    context: Context,
    labels: Any,
    task: TaskSpec,
    reading: Reading,
    *,
    pooling: Pooling,
    site_column: str = "",
    strict: bool = False,
) -> Cohort:
    """Reads labels and finds the bags they name.

    Args:
        context: the application's collaborators.
        labels: CSV text or rows.
        task: its labels may be left out.
        reading: which bags.
        pooling: what several series of what a label names become.
        site_column: column of sites; empty for none.
        strict: whether every row must name a bag and have a label.

    Raises:
        ModelsError: the table or the task is not usable; the sentence says what to fix.
        LabelsUnmatched: labels and stored bags do not meet.
    """
    if not all(label.isprintable() for label in task.labels):
        raise BadTask("the labels of a task must be printable text")
    table = read_labels(labels, max_rows=context.settings.max_label_rows)
    sites, table = _without_sites(table, site_column)
    targets = resolve_targets(table, task)
    if strict:
        _check_filled(table, {key for key, target in targets.by_key.items() if all(value is None for value in target)})
    matched = match_bags(context, Labels(table.key, targets.by_key, sites), reading.recipe.digest, pooling)
    check_matches(context, matched, table.key, reading, strict=strict)
    return Cohort(targets.task, matched)


def check_windows(training: TrainingSpec, reading: Reading) -> None:
    """Refuses windows that the bags do not have.

    Raises:
        BadTrainingValue: the sentence names those that they have.
    """
    unknown = [name for name in training.windows or () if name not in reading.windows]
    if unknown and not reading.windows:
        raise BadTrainingValue(f"the bags of {reading.encoder} have one row a scan and no windows; leave windows out")
    if unknown:
        raise BadTrainingValue(
            f"the bags of {reading.encoder} have no window {', '.join(unknown)[:200]}; they have {', '.join(reading.windows)}"
        )


def with_pseudonyms(context: Context, protocol: ProtocolSpec) -> ProtocolSpec:
    """The protocol with the patients of its given splits as the catalogue calls them.

    Raises:
        BadSplits: the splits are not usable.
        PatientLeak: a patient is on both sides of a split.
    """
    if protocol.splits is None:
        return protocol
    return replace(protocol, splits=rename_patients(protocol.splits, context.pseudonyms.patient_asked))


def cases_as_params(cases: tuple[LabelledCase, ...]) -> list[JSON]:
    """Cases as a train or evaluate job reads them.

    `bag_ids` are the bags whose rows are laid end to end, `patient` is a pseudonym, `target` holds one answer a label: 0, 1 or null;
    for a multiclass task the one index of the class or null; numbers of a regression; time and event of a survival task.
    """
    return [
        {
            "bag_ids": [bag.bag_id for bag in case.bags],
            "patient": case.patient,
            "target": list(case.target),
            "unit": case.unit,
            "site": case.site,
        }
        for case in cases
    ]


def _without_sites(table: LabelTable, column: str) -> tuple[dict[str, str], LabelTable]:
    """Sites by key, and the table without their column."""
    if not column:
        return {}, table
    if column not in table.columns:
        raise BadTrainingValue(
            f"protocol.site_column is {column!r}, and the labels have no such column; they have {', '.join(table.columns[:20])}"
        )
    place = table.columns.index(column)
    sites = {key: values[place] for key, values in table.rows.items() if values[place]}
    rows = {key: values[:place] + values[place + 1 :] for key, values in table.rows.items()}
    return sites, LabelTable(table.key, table.columns[:place] + table.columns[place + 1 :], rows)


def _check_filled(table: LabelTable, empty: set[str]) -> None:
    if empty:
        named = ", ".join(key[:64] for key in table.rows if key in empty)[:200]
        raise MalformedLabels(
            f"{len(empty)} rows of the labels have no label ({named}); fill them in, or leave out strict to train without them"
        )
