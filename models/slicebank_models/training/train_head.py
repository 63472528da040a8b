"""From labelled bags to a head: splits, one training a fold, the ensemble of the folds, and the report on all of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.ensemble import HeadEnsemble
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, check_cases
from slicebank_models.training.bags import BagSource, CachedBags
from slicebank_models.training.cross_validation import Splits, split_cases, splits_as_dict
from slicebank_models.training.loop import FoldOutcome, train_fold
from slicebank_models.training.metrics import over_folds, task_metrics

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
        report: JSON-able: `task`, `training`, `n_cases`, `n_patients`, `folds` (metrics on each fold's validation
            part), `mean` and `sd` over folds, `pooled` (out-of-fold predictions together), `test` (the ensemble on the
            held-out patients, or null), `out_of_fold`, `test_predictions`, `splits`, `warnings`.
    """

    ensemble: HeadEnsemble
    report: JSON


def train_head(
    bags: BagSource,
    cases: Sequence[Case],
    task: TaskSpec,
    training: TrainingSpec,
    *,
    dim: int,
    level: EncoderLevel,
    progress: Callable[[int, int], bool],
    device: torch.device | str = "cpu",
) -> TrainedHead:
    """Trains one head a fold and joins them; on a CPU the same arguments give the same bits.

    Args:
        bags: Rows of the cases by their index.
        cases: With targets resolved against `task`.
        task: With its outputs' final names.
        training: Settings.
        dim: Length of the rows.
        level: Slice rows get attention, a scan's one row does not.
        progress: Called before every optimiser step with steps done and the most there can be; True cancels.
        device: Where to train.

    Raises:
        TrainingCancelled: `progress` said so.
        TrainingDiverged: A loss is not a number.
        TrainingError: See `check_cases`.
        DimensionMismatch: A bag's rows do not fit.
    """
    warnings = list(check_cases(cases, task, training))
    known = [case for case in cases if any(answer is not None for answer in case.target)]
    splits = split_cases(known, folds=training.folds, test_fraction=training.test_fraction, seed=training.seed)
    cached = CachedBags(bags, dim)
    outcomes = _train_folds(cached, known, splits, task, training, dim, level, progress, torch.device(device))
    ensemble = HeadEnsemble(task, dim=dim, level=level, folds=[outcome.state for outcome in outcomes])
    steps = min(_most_steps(splits, training))
    if steps * training.lr < SHORT_REACH:
        warnings.append(
            f"At most {steps} optimiser steps a fold at lr {training.lr:g} are few to learn from. "
            "Lower batch_size, or raise max_epochs or lr."
        )
    report = {
        "task": task.as_dict(),
        "training": training.as_dict(),
        "dim": dim,
        "level": level.value,
        "n_cases": len(known),
        "n_patients": len({case.patient for case in known}),
        **_evaluate(cached, known, splits, outcomes, ensemble),
        "splits": splits_as_dict(splits, known),
    }
    warnings += [
        f"Fold {fold['fold']}: AUROC is not defined for every label in its validation part."
        for fold in report["folds"]
        if any(values["auroc"] is None for values in fold["labels"].values())
    ]
    return TrainedHead(ensemble, {**report, "warnings": warnings})


def _train_folds(
    bags: BagSource,
    cases: Sequence[Case],
    splits: Splits,
    task: TaskSpec,
    training: TrainingSpec,
    dim: int,
    level: EncoderLevel,
    progress: Progress,
    device: torch.device,
) -> list[FoldOutcome]:
    most = _most_steps(splits, training)
    outcomes = []
    for number, fold in enumerate(splits.folds):
        before = sum(most[:number])
        outcome = train_fold(
            bags,
            [cases[at] for at in fold.train],
            [cases[at] for at in fold.validation],
            task,
            training,
            dim=dim,
            level=level,
            seed=_fold_seed(training.seed, number),
            device=device,
            step=lambda steps, before=before: progress(before + steps, sum(most)),  # type: ignore[misc]
        )
        outcomes.append(outcome)
    progress(sum(most), sum(most))
    return outcomes


def _most_steps(splits: Splits, training: TrainingSpec) -> list[int]:
    """Returns how many optimiser steps each fold takes if it does not stop early."""
    return [training.max_epochs * math.ceil(len(fold.train) / training.batch_size) for fold in splits.folds]


def _fold_seed(seed: int, fold: int) -> int:
    """Returns a seed of its own for each fold, so that folds differ in more than their cases."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def _evaluate(
    bags: BagSource, cases: Sequence[Case], splits: Splits, outcomes: Sequence[FoldOutcome], ensemble: HeadEnsemble
) -> JSON:
    """Measures each fold's head on its validation part and the ensemble on the test part."""
    task = ensemble.task
    folds: list[JSON] = []
    out_of_fold: list[JSON] = []
    pooled: list[tuple[Case, NDArray[np.float64]]] = []
    for number, (fold, outcome) in enumerate(zip(splits.folds, outcomes, strict=True)):
        single = HeadEnsemble(task, dim=ensemble.dim, level=ensemble.level, folds=[outcome.state])
        validation = [cases[at] for at in fold.validation]
        probabilities = _probabilities(single, bags, validation)
        pooled += zip(validation, probabilities, strict=True)
        out_of_fold += _rows(validation, probabilities, fold=number)
        folds.append(
            {
                "fold": number,
                "n_train": len(fold.train),
                "n_validation": len(fold.validation),
                "best_epoch": outcome.best_epoch,
                "epochs": outcome.epochs,
                "steps": outcome.steps,
                "validation_loss": outcome.validation_loss,
                **task_metrics(task, [case.target for case in validation], probabilities),
            }
        )
    mean, sd = over_folds(folds)
    test = [cases[at] for at in splits.test]
    test_probabilities = _probabilities(ensemble, bags, test)
    return {
        "folds": folds,
        "mean": mean,
        "sd": sd,
        "pooled": task_metrics(task, [case.target for case, _ in pooled], np.stack([row for _, row in pooled])),
        "test": task_metrics(task, [case.target for case in test], test_probabilities) if test else None,
        "out_of_fold": out_of_fold,
        "test_predictions": _rows(test, test_probabilities, fold=None),
    }


def _probabilities(ensemble: HeadEnsemble, bags: BagSource, cases: Sequence[Case]) -> NDArray[np.float64]:
    """Returns (cases, outputs)."""
    rows = [[output.probability for output in ensemble.predict(bags.features(c.index)).outputs] for c in cases]
    return np.array(rows, dtype=np.float64).reshape(len(cases), ensemble.task.n_outputs)


def _rows(cases: Sequence[Case], probabilities: NDArray[np.float64], *, fold: int | None) -> list[JSON]:
    return [
        {
            "index": case.index,
            "patient": case.patient,
            "fold": fold,
            "target": list(case.target),
            "probabilities": [float(value) for value in row],
        }
        for case, row in zip(cases, probabilities, strict=True)
    ]
