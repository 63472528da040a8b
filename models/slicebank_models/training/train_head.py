"""From labelled bags to a head: splits, one training a fold, the ensemble of the folds, and the report on all of it."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.ensemble import HeadEnsemble
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, check_cases
from slicebank_models.training.bag_cache import open_cohort
from slicebank_models.training.bag_rows import BagRows
from slicebank_models.training.bags import BagSource, NamedBags
from slicebank_models.training.calibration import fit_calibration
from slicebank_models.training.cross_validation import Splits, plan_splits
from slicebank_models.training.loop import FoldOutcome, FoldTraining, Recipe
from slicebank_models.training.report import report_of
from slicebank_models.training.seeding import fold_seed
from slicebank_models.training.side_by_side import train_side_by_side
from slicebank_models.training.splits_file import as_given
from slicebank_models.versions import versions

JSON = dict[str, Any]
Progress = Callable[[int, int], bool]

# Of whose versions a head depends.
PACKAGES = ("slicebank", "torch", "numpy", "scikit-learn", "scipy")
# AdamW moves a weight by about the learning rate a step at most, and initial weights are of the order of 0.05: below
# this reach a head has hardly left its initial weights.
SHORT_REACH = 0.01


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """The served head and the report on it.

    Attributes:
        ensemble: The folds' best heads together.
        report: JSON-able: what was asked for, metrics per fold, over folds, pooled and on the test part, predictions of heads
            that did not learn from a case, splits, and what is needed to train the same again.
    """

    ensemble: HeadEnsemble
    report: JSON


def train_head(
    bags: BagSource,
    cases: Sequence[Case],
    task: TaskSpec,
    training: TrainingSpec,
    *,
    head: HeadSpec | None = None,
    protocol: ProtocolSpec | None = None,
    dim: int,
    level: EncoderLevel,
    progress: Progress,
    device: torch.device | str = "cpu",
    scratch: Path | None = None,
) -> TrainedHead:
    """Trains one head a fold and joins them; on one machine the same bags, answers and settings give the same bits.

    Neither the order of the cases nor names that differ between installations (indices, pseudonyms of patients) change
    anything: cases are ordered by what their bags are known by, see `NamedBags`.

    Args:
        bags: Rows of the cases by their index; each is read once.
        cases: With targets resolved against `task`.
        task: With its outputs' final names.
        training: Settings.
        head: Which head; the published one where none is given.
        protocol: How it is judged.
        dim: Length of the rows.
        level: Slice rows get attention, a scan's one row does not.
        progress: Called in the caller's thread with optimiser steps done and the most there can be; True cancels.
        device: Where to train.
        scratch: Folder for a file with all rows; the system's for temporary files where none is given.

    Raises:
        TrainingCancelled: `progress` said so.
        TrainingDiverged: A loss is not a number.
        TrainingError: See `check_cases` and `plan_splits`.
        DimensionMismatch: A bag's rows do not fit.
    """
    started = time.monotonic()
    head, protocol, device = head or HeadSpec(), protocol or ProtocolSpec(), torch.device(device)
    head = head.resolved(level, task.kind)
    warnings = list(check_cases(cases, task, as_given(training, protocol.splits)))
    known = [case for case in cases if any(answer is not None for answer in case.target)]
    recipe = Recipe(task, training, head, dim, level)
    with open_cohort(bags, [case.index for case in known], dim, scratch) as cache:
        digests = {str(case.index): cache.digest(case.index) for case in known}
        known = _in_order(known, bags, digests)
        splits = plan_splits(known, task, training, protocol)
        outcomes = _train(recipe, BagRows(cache, device), known, splits, progress, device)
        alone = [_alone(recipe, outcome) for outcome in outcomes]
        said = [
            _logits(one, cache, [known[at] for at in fold.validation])
            for fold, one in zip(splits.folds, alone, strict=True)
        ]
        fold_tests = [_logits(one, cache, [known[at] for at in splits.test]) for one in alone]
        calibration = fit_calibration(known, task, protocol.calibration, splits, said)
        states = [outcome.state for outcome in outcomes]
        ensemble = HeadEnsemble(task, dim=dim, level=level, folds=states, head=head, calibration=calibration.served)
        test = [ensemble.predict(cache.features(known[at].index)).outputs for at in splits.test]
    judged = report_of(
        known,
        task,
        training,
        protocol,
        splits,
        fits=outcomes,
        out_of_fold=said,
        calibration=calibration,
        test=test,
        fold_tests=fold_tests,
    )
    steps = min(_most_steps(splits, training))
    if steps * training.lr < SHORT_REACH:
        warnings.append(
            f"At most {steps} optimiser steps a fold at lr {training.lr:g} are few to learn from. "
            "Lower batch_size, or raise max_epochs or lr."
        )
    report = {
        **judged,
        "head": head.as_dict(),
        "dim": dim,
        "level": level.value,
        "bag_digests": digests,
        "data_digest": _data_digest(known, digests),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": versions(*PACKAGES),
        "seconds": time.monotonic() - started,
        "warnings": [*warnings, *judged["warnings"]],
    }
    return TrainedHead(ensemble, report)


def _data_digest(cases: Sequence[Case], digests: Mapping[str, str]) -> str:
    """Returns the SHA-256 of what was learned from: the cases' rows and targets, in their order."""
    told = [[digests[str(case.index)], list(case.target)] for case in cases]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _in_order(cases: Sequence[Case], bags: BagSource, digests: Mapping[str, str]) -> list[Case]:
    """Returns the cases by what their bags are known by, then by their rows: an order that arrival and installation leave alone."""

    def key(case: Case) -> tuple[str, str, tuple[float, ...], str]:
        name = bags.name(case.index) if isinstance(bags, NamedBags) else ""
        target = tuple(math.inf if value is None else float(value) for value in case.target)
        return name, digests[str(case.index)], target, case.site

    return sorted(cases, key=key)


def _train(
    recipe: Recipe, rows: BagRows, cases: Sequence[Case], splits: Splits, progress: Progress, device: torch.device
) -> list[FoldOutcome]:
    folds = [
        FoldTraining(
            recipe,
            rows,
            [cases[at] for at in fold.train],
            [cases[at] for at in fold.stopping],
            fold_seed(recipe.training.seed, number),
        )
        for number, fold in enumerate(splits.folds)
    ]
    train_side_by_side(folds, sum(_most_steps(splits, recipe.training)), progress, device)
    return [fold.outcome() for fold in folds]


def _most_steps(splits: Splits, training: TrainingSpec) -> list[int]:
    """Returns how many optimiser steps each fold takes if it does not stop early."""
    return [training.max_epochs * math.ceil(len(fold.train) / training.batch_size) for fold in splits.folds]


def _alone(recipe: Recipe, outcome: FoldOutcome) -> HeadEnsemble:
    """Returns the head of one fold by itself."""
    return HeadEnsemble(recipe.task, dim=recipe.dim, level=recipe.level, folds=[outcome.state], head=recipe.head)


def _logits(ensemble: HeadEnsemble, bags: BagSource, cases: Sequence[Case]) -> NDArray[np.float64]:
    """Returns (cases, outputs) logits of probabilities, or values, or risks."""
    found = [
        [
            output.logit if output.value is None else output.value
            for output in ensemble.predict(bags.features(case.index)).outputs
        ]
        for case in cases
    ]
    return np.array(found, dtype=np.float64).reshape(len(cases), ensemble.task.n_outputs)
