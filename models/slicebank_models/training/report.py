"""The report on a trained head: every figure that a reviewer asks for, as JSON."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.answers import Output
from slicebank_models.heads.calibration import log_probabilities
from slicebank_models.heads.protocol import ProtocolSpec, Validation
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.calibration import FittedCalibration
from slicebank_models.training.cross_validation import Splits, splits_as_dict
from slicebank_models.training.curves import task_curves
from slicebank_models.training.intervals import bootstrap_intervals
from slicebank_models.training.metrics import over_folds, task_metrics
from slicebank_models.training.units import Units, average_by_unit, unit_of

JSON = dict[str, Any]
Values = NDArray[np.float64]

FORMAT = 2


class FoldFit(Protocol):
    """How the training of one fold went.

    Attributes:
        best_epoch: Epoch of the lowest loss on the stopping part, counted from 1.
        epochs: Epochs run.
        steps: Optimiser steps taken.
        validation_loss: The lowest loss on the stopping part; None where that tells nothing.
        train_losses: Per epoch.
        validation_losses: Per epoch, on the stopping part.
    """

    @property
    def best_epoch(self) -> int: ...  # noqa: D102 - see the class
    @property
    def epochs(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def validation_loss(self) -> float | None: ...  # noqa: D102
    @property
    def train_losses(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def validation_losses(self) -> Sequence[float]: ...  # noqa: D102


def report_of(
    cases: Sequence[Case],
    task: TaskSpec,
    training: TrainingSpec,
    protocol: ProtocolSpec,
    splits: Splits,
    *,
    fits: Sequence[FoldFit],
    out_of_fold: Sequence[Values],
    calibration: FittedCalibration,
    test: Sequence[tuple[Output, ...]],
    fold_tests: Sequence[Values] = (),
) -> JSON:
    """Measures a trained head.

    Args:
        cases: All with a known target.
        task: With its outputs' final names.
        training: `seed` is that of the resamplings too.
        protocol: `bootstrap` resamplings.
        splits: Of `plan_splits`.
        fits: One a fold.
        out_of_fold: Per fold (cases of its validation part, outputs), what the fold's head alone says: logits before
            calibration, values or risks.
        calibration: Of `fit_calibration` on `out_of_fold`.
        test: What the ensemble answers for each case of the test part, calibrated as it is served.
        fold_tests: Per fold (cases of the test part, outputs), what the fold's head alone says, as in `out_of_fold`; none for no `test` in
            the folds.

    Returns:
        `format`, `task`, `outputs` (names), `training`, `protocol`, `n_cases`, `n_units`, `n_patients`; `folds` with `mean` and `sd`; `pooled` and `test` with
        `intervals`; `calibration`, `curves`, `out_of_fold`, `test_predictions`, `splits`, `warnings`.
    """
    said = [probabilities(task, rows) for rows in out_of_fold]
    folds = [
        {
            "fold": number,
            "repeat": fold.repeat,
            "n_train": len(fold.train),
            "n_validation": len(fold.validation),
            "n_stopping": len(fold.stopping),
            "best_epoch": fit.best_epoch,
            "epochs": fit.epochs,
            "steps": fit.steps,
            "validation_loss": fit.validation_loss,
            "curve": {"train_loss": list(fit.train_losses), "validation_loss": list(fit.validation_losses)},
            **_metrics(task, average_by_unit([cases[at] for at in fold.validation], rows)),
        }
        for number, (fold, fit, rows) in enumerate(zip(splits.folds, fits, said, strict=True))
    ]
    mean, sd = over_folds(folds)
    held_out = [cases[at] for at in splits.test]
    if held_out:
        for figures, rows in zip(folds, fold_tests, strict=False):
            figures["test"] = _metrics(task, average_by_unit(held_out, probabilities(task, rows)))
    measured = [cases[at] for fold in splits.folds for at in fold.validation]
    pooled = average_by_unit(measured, np.concatenate(said))
    calibrated = None
    if calibration.served is not None:
        calibrated = average_by_unit(measured, np.concatenate(calibration.out_of_fold))
    resampling = {"resamples": protocol.bootstrap, "seed": training.seed}
    tested = evaluation_of(task, held_out, test, **resampling) if held_out else None
    named = [case for fold in splits.folds for case in [*fold.train, *fold.validation, *fold.stopping]]
    used = [cases[at] for at in sorted({*named, *splits.test})]
    return {
        "format": FORMAT,
        "task": task.as_dict(),
        "outputs": list(task.outputs),
        "training": training.as_dict(),
        "protocol": protocol.as_dict(),
        "n_cases": len(used),
        "n_units": len({(case.patient, unit_of(case)) for case in used}),
        "n_patients": len({case.patient for case in used}),
        "folds": folds,
        "mean": mean,
        "sd": sd,
        "pooled": measured_with_intervals(task, pooled, **resampling),
        "test": tested["metrics"] if tested else None,
        "calibration": calibration.record,
        "curves": {
            "pooled": task_curves(task, pooled, calibrated),
            "test": tested["curves"] if tested else None,
        },
        "out_of_fold": _out_of_fold_rows(cases, task, splits, said, calibration),
        "test_predictions": tested["predictions"] if tested else [],
        "splits": splits_as_dict(splits, cases),
        "warnings": [*splits.warnings, *calibration.warnings, *_warnings(task, protocol, folds, pooled)],
    }


def evaluation_of(
    task: TaskSpec, cases: Sequence[Case], answers: Sequence[tuple[Output, ...]], *, resamples: int, seed: int
) -> JSON:
    """Returns `metrics` with `intervals`, `curves` and `predictions` of cases that a head did not learn from.

    Args:
        task: With its outputs' names.
        cases: Any.
        answers: One a case, as they are served.
        resamples: Of patients.
        seed: Of the resamplings.
    """
    served = np.array([[_served(output) for output in row] for row in answers], dtype=np.float64)
    served = served.reshape(len(cases), task.n_outputs)
    units = average_by_unit(cases, served)
    rows = []
    for case, row, values in zip(cases, answers, served, strict=True):
        raw = [output.raw_probability for output in row]
        extra = {} if None in raw else {"raw_probabilities": raw}
        rows.append(_row(task, case, values, fold=None, repeat=None, extra=extra))
    return {
        "metrics": measured_with_intervals(task, units, resamples=resamples, seed=seed),
        "curves": task_curves(task, units),
        "predictions": rows,
    }


def measured_with_intervals(task: TaskSpec, units: Units, *, resamples: int, seed: int) -> JSON:
    """Returns `task_metrics` with `intervals` at the top and in each label, and `n_units` and `n_patients`."""
    metrics = _metrics(task, units)
    if resamples:
        intervals = bootstrap_intervals(task, units, resamples=resamples, seed=seed)
        for label, found in intervals.pop("labels").items():
            metrics["labels"][label]["intervals"] = found
        metrics["intervals"] = intervals
    return {**metrics, "n_units": len(units), "n_patients": len(set(units.patients))}


def probabilities(task: TaskSpec, outputs: Values) -> Values:
    """Returns what is measured of (n, outputs) raw outputs: probabilities of logits; values and risks as they are."""
    if task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        return outputs
    found: Values = np.exp(log_probabilities(task, outputs)[0])
    return found


def _served(output: Output) -> float:
    value = output.probability if output.value is None else output.value
    return float("nan") if value is None else value


def _metrics(task: TaskSpec, units: Units) -> JSON:
    return task_metrics(task, units.targets, units.outputs)


def _out_of_fold_rows(
    cases: Sequence[Case], task: TaskSpec, splits: Splits, said: Sequence[Values], calibration: FittedCalibration
) -> list[JSON]:
    rows = []
    for number, fold in enumerate(splits.folds):
        for place, at in enumerate(fold.validation):
            extra = {}
            if calibration.served is not None:
                extra["calibrated_probabilities"] = calibration.out_of_fold[number][place].tolist()
            rows.append(_row(task, cases[at], said[number][place], fold=number, repeat=fold.repeat, extra=extra))
    return rows


def _row(task: TaskSpec, case: Case, values: Values, *, fold: int | None, repeat: int | None, extra: JSON) -> JSON:
    numbers = values.tolist()
    classified = task.kind not in (TaskKind.REGRESSION, TaskKind.SURVIVAL)
    return {
        "index": case.index,
        "unit": unit_of(case),
        "patient": case.patient,
        "fold": fold,
        "repeat": repeat,
        "target": list(case.target),
        "outputs": numbers,
        **({"probabilities": numbers} if classified else {}),
        **extra,
    }


def _warnings(task: TaskSpec, protocol: ProtocolSpec, folds: Sequence[JSON], pooled: Units) -> list[str]:
    first = "c_index" if task.kind is TaskKind.SURVIVAL else "r2" if task.kind is TaskKind.REGRESSION else "auroc"
    name = {"c_index": "the C-index", "r2": "R2", "auroc": "AUROC"}[first]
    warnings = [
        f"Fold {fold['fold']}: {name} is not defined for every label in its validation part."
        for fold in folds
        if any(values[first] is None for values in fold["labels"].values())
    ]
    warnings += [
        f"Fold {fold['fold']}: no answer in the part that stops it can be judged"
        f"{' (no event with another case at risk)' if task.kind is TaskKind.SURVIVAL else ''}; "
        "the epoch of its lowest training loss was taken. Fewer folds, or more cases, would mend that."
        for fold in folds
        if fold["validation_loss"] is None
    ]
    if protocol.validation is Validation.CROSS_VALIDATION and protocol.splits is None and len(pooled) < _FEW:
        warnings.append(
            f"{len(pooled)} cases choose the epoch that they are then measured on, so figures over folds are a little too "
            "good; protocol.validation nested keeps them apart, and so does the test part."
        )
    return warnings


_FEW = 50  # below this many cases the choice of an epoch moves AUROC by more than rounding
