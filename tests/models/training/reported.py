"""Reports of heads that were never trained: logits drawn around the answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slicebank_models.heads.answers import answers
from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskKind, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.calibration import FittedCalibration, fit_calibration
from slicebank_models.training.cross_validation import Splits, plan_splits
from slicebank_models.training.report import report_of
from tests.models.training.labelled_cases import TASKS


@dataclass(frozen=True)
class Fit:
    best_epoch: int = 2
    epochs: int = 3
    steps: int = 12
    validation_loss: float = 0.4
    train_losses: tuple[float, ...] = (0.7, 0.5, 0.3)
    validation_losses: tuple[float, ...] = (0.6, 0.4, 0.5)


@dataclass(frozen=True)
class Drawn:
    """Cases, what a head of some skill says of each as logits, and the report on it."""

    cases: list[Case]
    logits: np.ndarray
    splits: Splits
    calibration: FittedCalibration
    report: dict[str, Any]


def drawn_targets(kind: TaskKind, generator: np.random.Generator, n: int) -> list[tuple[float | None, ...]]:
    if kind is TaskKind.BINARY:
        return [(int(value),) for value in generator.random(n) < 0.4]
    if kind is TaskKind.MULTILABEL:
        answers_drawn = generator.random((n, 3))
        return [tuple(None if value > 0.9 else int(value < 0.4) for value in row) for row in answers_drawn]
    if kind is TaskKind.MULTICLASS:
        return [(int(value),) for value in generator.integers(0, 3, n)]
    if kind is TaskKind.REGRESSION:
        return [(float(a), None if b > 1.5 else float(b)) for a, b in generator.normal(size=(n, 2))]
    return [
        (float(time) + 0.01, int(happened))
        for time, happened in zip(generator.exponential(10, n), generator.random(n) < 0.6, strict=True)
    ]


def drawn_logits(
    kind: TaskKind, targets: list[tuple[float | None, ...]], generator: np.random.Generator, skill: float
) -> np.ndarray:
    """Logits that say no more than they know where `skill` is 1 and answers are equally frequent, and are too sure where it is more."""
    outputs = TASKS[kind].n_outputs
    noise = generator.normal(size=(len(targets), outputs))
    if kind is TaskKind.SURVIVAL:
        return np.array([[-np.log(time)] for time, _ in targets]) + noise
    if kind is TaskKind.MULTICLASS:
        return skill * 2 * (2 * np.eye(outputs)[[int(t[0] or 0) for t in targets]] + noise)
    known = np.array([[0.0 if value is None else value for value in target] for target in targets])
    return known + noise if kind is TaskKind.REGRESSION else skill * 2 * (2 * known - 1 + noise)


def drawn_report(
    kind: TaskKind,
    *,
    n: int = 120,
    seed: int = 0,
    skill: float = 1.0,
    protocol: ProtocolSpec | None = None,
    training: TrainingSpec | None = None,
    cases: list[Case] | None = None,
) -> Drawn:
    """Runs everything but the training: splits, calibration and report."""
    task, generator = TASKS[kind], np.random.default_rng(seed)
    protocol, training = protocol or ProtocolSpec(bootstrap=200), training or TrainingSpec()
    if cases is None:
        cases = [Case(at, f"p{at}", target) for at, target in enumerate(drawn_targets(kind, generator, n))]
    logits = drawn_logits(kind, [case.target for case in cases], generator, skill)
    splits = plan_splits(cases, task, training, protocol)
    out_of_fold = [logits[list(fold.validation)] for fold in splits.folds]
    calibration = fit_calibration(cases, task, protocol.calibration, splits, out_of_fold)
    report = report_of(
        cases,
        task,
        training,
        protocol,
        splits,
        fits=[Fit()] * len(splits.folds),
        out_of_fold=out_of_fold,
        calibration=calibration,
        test=[answers(task, logits[[at]], calibration.served) for at in splits.test],
    )
    return Drawn(cases, logits, splits, calibration, report)
