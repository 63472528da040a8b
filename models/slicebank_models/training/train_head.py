"""From labelled bags to a head: splits, one training a fold, the ensemble of the folds, and the report on all of it."""

import math
import time
from collections.abc import Callable, Sequence
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
from slicebank_models.training.bag_cache import CohortCache, open_cohort
from slicebank_models.training.bag_rows import BagRows
from slicebank_models.training.bags import BagSource, NamedBags
from slicebank_models.training.cross_validation import Splits, plan_splits, splits_as_dict
from slicebank_models.training.loop import FoldOutcome, FoldTraining, Recipe
from slicebank_models.training.metrics import over_folds, task_metrics
from slicebank_models.training.seeding import fold_seed
from slicebank_models.training.side_by_side import train_side_by_side

JSON = dict[str, Any]
Progress = Callable[[int, int], bool]

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
    warnings = list(check_cases(cases, task, training))
    known = [case for case in cases if any(answer is not None for answer in case.target)]
    recipe = Recipe(task, training, head, dim, level)
    with open_cohort(bags, [case.index for case in known], dim, scratch) as cache:
        known = _in_order(known, bags, cache)
        splits = plan_splits(known, task, training, protocol)
        outcomes = _train(recipe, BagRows(cache, device), known, splits, progress, device)
        states = [outcome.state for outcome in outcomes]
        ensemble = HeadEnsemble(task, dim=dim, level=level, folds=states, head=head)
        judged = _evaluate(cache, known, splits, outcomes, ensemble)
        digests = {str(case.index): cache.digests[case.index] for case in known}
    report = {
        "task": task.as_dict(),
        "training": training.as_dict(),
        "head": head.as_dict(),
        "protocol": protocol.as_dict(),
        "dim": dim,
        "level": level.value,
        "n_cases": len(known),
        "n_patients": len({case.patient for case in known}),
        **judged,
        "splits": splits_as_dict(splits, known),
        "bag_digests": digests,
        "seconds": time.monotonic() - started,
    }
    warnings += splits.warnings
    steps = min(_most_steps(splits, training))
    if steps * training.lr < SHORT_REACH:
        warnings.append(
            f"At most {steps} optimiser steps a fold at lr {training.lr:g} are few to learn from. "
            "Lower batch_size, or raise max_epochs or lr."
        )
    warnings += [
        f"Fold {fold['fold']}: AUROC is not defined for every label in its validation part."
        for fold in report["folds"]
        if any("auroc" in values and values["auroc"] is None for values in fold["labels"].values())
    ]
    return TrainedHead(ensemble, {**report, "warnings": warnings})


def _in_order(cases: Sequence[Case], bags: BagSource, cache: CohortCache) -> list[Case]:
    """Returns the cases by what their bags are known by, then by their rows: an order that arrival and installation leave alone."""

    def key(case: Case) -> tuple[str, str, tuple[float, ...], str]:
        name = bags.name(case.index) if isinstance(bags, NamedBags) else ""
        target = tuple(math.inf if value is None else float(value) for value in case.target)
        return name, cache.digests[case.index], target, case.site

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


def _evaluate(
    bags: BagSource, cases: Sequence[Case], splits: Splits, outcomes: Sequence[FoldOutcome], ensemble: HeadEnsemble
) -> JSON:
    """Measures each fold's head on its validation part and the ensemble on the test part."""
    task = ensemble.task
    folds: list[JSON] = []
    out_of_fold: list[JSON] = []
    pooled: list[tuple[Case, NDArray[np.float64]]] = []
    for number, (fold, outcome) in enumerate(zip(splits.folds, outcomes, strict=True)):
        single = HeadEnsemble(task, dim=ensemble.dim, level=ensemble.level, folds=[outcome.state], head=ensemble.head)
        validation = [cases[at] for at in fold.validation]
        outputs = _outputs(single, bags, validation)
        pooled += zip(validation, outputs, strict=True)
        out_of_fold += _rows(validation, outputs, fold=number)
        folds.append(
            {
                "fold": number,
                "repeat": fold.repeat,
                "n_train": len(fold.train),
                "n_validation": len(fold.validation),
                "best_epoch": outcome.best_epoch,
                "epochs": outcome.epochs,
                "steps": outcome.steps,
                "validation_loss": outcome.validation_loss,
                "curve": {
                    "train_loss": list(outcome.train_losses),
                    "validation_loss": list(outcome.validation_losses),
                },
                **task_metrics(task, [case.target for case in validation], outputs),
            }
        )
    mean, sd = over_folds(folds)
    test = [cases[at] for at in splits.test]
    test_outputs = _outputs(ensemble, bags, test)
    return {
        "folds": folds,
        "mean": mean,
        "sd": sd,
        "pooled": task_metrics(task, [case.target for case, _ in pooled], np.stack([row for _, row in pooled])),
        "test": task_metrics(task, [case.target for case in test], test_outputs) if test else None,
        "out_of_fold": out_of_fold,
        "test_predictions": _rows(test, test_outputs, fold=None),
    }


def _outputs(ensemble: HeadEnsemble, bags: BagSource, cases: Sequence[Case]) -> NDArray[np.float64]:
    """Returns (cases, outputs) probabilities, values or risks."""
    found = [
        [
            output.probability if output.probability is not None else output.value
            for output in ensemble.predict(bags.features(case.index)).outputs
        ]
        for case in cases
    ]
    return np.array(found, dtype=np.float64).reshape(len(cases), ensemble.task.n_outputs)


def _rows(cases: Sequence[Case], outputs: NDArray[np.float64], *, fold: int | None) -> list[JSON]:
    return [
        {
            "index": case.index,
            "patient": case.patient,
            "unit": case.unit,
            "fold": fold,
            "target": list(case.target),
            "probabilities": [float(value) for value in row],
        }
        for case, row in zip(cases, outputs, strict=True)
    ]
