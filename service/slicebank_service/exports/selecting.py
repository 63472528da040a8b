"""From a request to the bags it means, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slicebank_models.errors import ModelsError
from slicebank_models.heads.targets import LabelKey, LabelTable
from slicebank_service.cohorts.cases import one_a_study
from slicebank_service.cohorts.table import read_labels
from slicebank_service.context import Context
from slicebank_service.errors import NoLabelMatches, NothingToExport, ServiceError, SomeUnmatched
from slicebank_service.exports.layouts import ExportedBag, Layout, exported_bag
from slicebank_service.exports.request import ExportRequest
from slicebank_service.recipes import recipe_of
from slicebank_store.catalogue import BagRecord
from slicebank_store.external import is_external
from slicebank_store.types import JSON, BagLevel

# Keys named in an error: enough to see the pattern, short enough to read.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Selection:
    """The bags of an export, in the order in which they are sent.

    Attributes:
        columns: names of the labels.
        bags: by patient, then by series.
        left_out: bags that the layout has no place for, with the reason.
        unmatched: keys of the labels that name no stored bag, as they were sent.
    """

    layout: Layout
    encoder: str
    recipe: JSON
    recipe_digest: str
    columns: tuple[str, ...]
    bags: tuple[ExportedBag, ...]
    left_out: tuple[JSON, ...]
    unmatched: tuple[str, ...]


def select(context: Context, request: ExportRequest) -> Selection:
    """Finds the bags; everything that can be wrong is said here, before the answer begins.

    Raises:
        UnknownEncoder: no bag and no card has this encoder.
        NothingToExport: no bag of it, or bags of several recipes and no word which.
        MalformedLabels, NoLabelMatches, SomeUnmatched: as for heads.
    """
    table = None if request.labels is None else _table(context, request)
    stored = _of_one_recipe(context, request)
    chosen: list[tuple[BagRecord, tuple[str, ...]]] = [(bag, ()) for bag in stored]
    columns: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    if table is not None:
        chosen, unmatched = _labelled(context, table, stored)
        columns = table.columns
        _check(request, len(chosen), unmatched)
    name = context.pseudonyms.exported
    bags = sorted(
        (exported_bag(bag, patient=name(bag.patient), labels=labels) for bag, labels in chosen),
        key=lambda bag: (bag.patient, bag.series_uid),
    )
    kept, left_out = _one_a_patient(bags) if _pooled(request.layout, bags) else (bags, [])
    first = stored[0]
    return Selection(
        layout=request.layout,
        encoder=first.encoder,
        recipe=first.recipe,
        recipe_digest=first.recipe_digest,
        columns=columns,
        bags=tuple(kept),
        left_out=tuple(left_out),
        unmatched=unmatched,
    )


def _table(context: Context, request: ExportRequest) -> LabelTable:
    assert request.labels is not None  # noqa: S101 - the caller looked
    return read_labels(request.labels, max_rows=context.settings.max_label_rows)


def _of_one_recipe(context: Context, request: ExportRequest) -> tuple[BagRecord, ...]:
    """The standing bag of each series under the recipe that is meant."""
    # With a digest the encoder says nothing more; it may be the default that nobody wrote.
    encoder = request.encoder if request.recipe_digest is None else None
    found = context.catalogue.bags.current(context.project, encoder=encoder, recipe_digest=request.recipe_digest)
    digests = sorted({bag.recipe_digest for bag in found})
    if len(digests) > 1 and (default := _default_digest(context, request.encoder)) in digests:
        found = tuple(bag for bag in found if bag.recipe_digest == default)
    elif len(digests) > 1:
        raise NothingToExport(
            f"encoder {request.encoder} has bags of {len(digests)} recipes; name one as recipe_digest: {', '.join(digests[:_SHOWN])}"
        )
    if not found:
        if request.recipe_digest is None and not is_external(request.encoder):
            context.registry.get(request.encoder)
        raise NothingToExport(
            f"there is no bag of {request.recipe_digest or request.encoder}; upload series, or see GET /v1/bags for what there is"
        )
    return found


def _default_digest(context: Context, encoder: str) -> str | None:
    try:
        return recipe_of(context.registry.get(encoder)).digest
    except (ModelsError, ServiceError):
        return None


def _labelled(
    context: Context, table: LabelTable, stored: Sequence[BagRecord]
) -> tuple[list[tuple[BagRecord, tuple[str, ...]]], tuple[str, ...]]:
    """Bags that labels speak of: of a series its standing bag, of a study and of each study of a patient the one with most slices."""
    names = context.pseudonyms
    bags = list(stored) if table.key is LabelKey.SERIES_UID else one_a_study(stored)
    asked = names.patient_asked if table.key is LabelKey.PATIENT else names.uid_asked

    def key_of(bag: BagRecord) -> str:
        return {
            LabelKey.SERIES_UID: bag.series_uid,
            LabelKey.STUDY_UID: bag.study_uid,
            LabelKey.PATIENT: bag.patient,
        }[table.key]

    rows = {asked(key): (key, labels) for key, labels in table.rows.items()}
    found = [(bag, rows[key_of(bag)][1]) for bag in bags if key_of(bag) in rows]
    matched = {rows[key_of(bag)][0] for bag, _ in found}
    return found, tuple(key for key in table.rows if key not in matched)


def _check(request: ExportRequest, n_matched: int, unmatched: tuple[str, ...]) -> None:
    shown = list(unmatched[:_SHOWN])
    if not n_matched:
        raise NoLabelMatches(
            f"none of the {len(unmatched)} rows of the labels names a bag of {request.encoder}; upload the series first, wait for "
            "their jobs, and check that the first column holds what its name says",
            unmatched=shown,
        )
    if request.strict and unmatched:
        raise SomeUnmatched(
            f"{len(unmatched)} rows of the labels name no bag of {request.encoder}; upload those series, or leave out strict",
            unmatched=shown,
        )


def _pooled(layout: Layout, bags: Sequence[ExportedBag]) -> bool:
    return layout is Layout.STAMP and any(bag.level is BagLevel.SCAN for bag in bags)


def _one_a_patient(bags: Sequence[ExportedBag]) -> tuple[list[ExportedBag], list[JSON]]:
    """STAMP finds the one row of a scan under its patient, so that a patient can have one."""
    kept: dict[str, ExportedBag] = {}
    left_out: list[JSON] = []
    for bag in bags:
        if bag.patient in kept:
            left_out.append(
                {"bag_id": bag.bag_id, "series_uid": bag.series_uid, "why": "STAMP has one such file a patient"}
            )
        else:
            kept[bag.patient] = bag
    return list(kept.values()), left_out
