"""Reports as trainings write them now, of every kind of task."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case, Target
from slicebank_models.training.train_head import train_head
from tests.service.reports.conftest import Shelf
from tests.service.reports.page import Page

LABELS = {
    TaskKind.BINARY: ("lesion",),
    TaskKind.MULTILABEL: ("liver", "lung"),
    TaskKind.MULTICLASS: ("I", "II", "III"),
    TaskKind.REGRESSION: ("volume",),
    TaskKind.SURVIVAL: ("months", "death"),
}
CLASSIFIED = {("roc", part) for part in ("pooled", "test")} | {
    ("precision_recall", part) for part in ("pooled", "test")
}
PLOTS = {
    TaskKind.BINARY: {*CLASSIFIED, ("calibration", "pooled"), ("confusion", "pooled")},
    TaskKind.MULTILABEL: {*CLASSIFIED, ("calibration", "pooled"), ("confusion", "pooled")},
    TaskKind.MULTICLASS: {*CLASSIFIED, ("calibration", "pooled"), ("confusion", "pooled")},
    TaskKind.REGRESSION: {("scatter", "pooled"), ("scatter", "test")},
    TaskKind.SURVIVAL: {("kaplan_meier", "pooled")},
}
SAID = {
    TaskKind.BINARY: "AUROC",
    TaskKind.MULTILABEL: "Sensitivity at 90 % specificity",
    TaskKind.MULTICLASS: "Accuracy",
    TaskKind.REGRESSION: "MAE",
    TaskKind.SURVIVAL: "C-index",
}


class DrawnBags:
    """Bags whose first number tells the answer."""

    def __init__(self, strength: NDArray[np.float64]) -> None:
        self._strength = strength

    def features(self, index: int) -> NDArray[np.float32]:
        rows = np.random.default_rng(index).normal(size=(4, 6))
        rows[:, 0] += 2 * self._strength[index]
        return rows.astype(np.float32)


def trained(kind: TaskKind) -> dict[str, Any]:
    """What a short training leaves."""
    draw = np.random.default_rng(3)
    strength = draw.normal(size=60)
    targets: dict[TaskKind, list[Target]] = {
        TaskKind.BINARY: [(float(value > 0),) for value in strength],
        TaskKind.MULTILABEL: [(float(value > 0), None if value > 1 else float(value < 0.5)) for value in strength],
        TaskKind.MULTICLASS: [(float(np.digitize(value, (-0.4, 0.4))),) for value in strength],
        TaskKind.REGRESSION: [(float(10 * value),) for value in strength],
        TaskKind.SURVIVAL: [(float(np.exp(-value) * 12), float(at % 3 > 0)) for at, value in enumerate(strength)],
    }
    done = train_head(
        DrawnBags(strength),
        [Case(at, f"patient-{at}", target) for at, target in enumerate(targets[kind])],
        TaskSpec(kind, LABELS[kind]),
        TrainingSpec.parse({"lr": 1e-2, "batch_size": 16, "max_epochs": 2, "folds": 2, "test_fraction": 0.3}),
        protocol=ProtocolSpec.parse({"bootstrap": 5}),
        dim=6,
        level=EncoderLevel.SLICE,
        progress=lambda _done, _total: False,
    )
    read: dict[str, Any] = json.loads(json.dumps(done.report, allow_nan=False))
    return read


@pytest.mark.parametrize("kind", list(TaskKind))
def test_every_kind_of_task_has_its_page(shelf: Shelf, kind: TaskKind) -> None:
    shelf.head(trained(kind))
    page = Page(shelf.api.get("/v1/heads/lesions/report").text)
    page.assert_self_contained()
    for expected in (SAID[kind], "How it was made", "seed", "bootstrap", "Folds", *LABELS[kind][-1:]):
        assert expected in page.text, expected
    assert "patient-3" not in page.html
    plots = shelf.api.get("/v1/heads/lesions/plots").json()["items"]
    drawn = {(plot["name"], plot["part"]) for plot in plots}
    assert drawn >= {*PLOTS[kind], ("training", "pooled")}
    assert len(page.named("svg")) == len(drawn)
