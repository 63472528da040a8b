"""Bags with a known answer: 200 rows of 96 numbers of noise, and in every other bag one row that is moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from slicebank_models.training.train_head import TrainedHead

ROWS, DIM = 200, 96
_SEED = 29
_TEST = 1  # keeps the seeds of test bags apart from those of training bags
ORACLE_BAGS = 400_000


@dataclass(frozen=True)
class PlantedBags:
    """Bags by number: a `BagSource`; odd ones hold a planted row.

    Attributes:
        n_bags: How many.
        distance: How far the planted row is moved, always in the same direction, in standard deviations of a number.
        part: 0 to train on, 1 to test on.
        seed: Of the noise.
    """

    n_bags: int
    distance: float
    part: int = 0
    seed: int = _SEED
    direction: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        direction = np.random.default_rng(_SEED).standard_normal(DIM)
        object.__setattr__(self, "direction", direction / np.linalg.norm(direction))

    def features(self, index: int) -> NDArray[np.float32]:
        """The (200, 96) rows of one bag."""
        rows = np.random.default_rng([self.seed, self.part, index]).standard_normal((ROWS, DIM))
        if index % 2:
            rows[self.planted(index)] += self.distance * self.direction
        return rows.astype(np.float32)

    def planted(self, index: int) -> int:
        """Which row of a bag would be the planted one."""
        return int(np.random.default_rng([self.seed, self.part, index, 1]).integers(ROWS))


def oracle_auroc(distance: float, n_bags: int = ORACLE_BAGS) -> float:
    """AUROC of the likelihood ratio, by whoever knows direction and distance; nothing does better.

    Only the component s of a row along the direction tells anything; the ratio of a bag is the mean over its rows of
    exp(distance s - distance^2 / 2).
    """
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(_SEED)
    ratios = []
    for positive in (0, 1):
        for _ in range(n_bags // 2 // 10_000):
            along = generator.standard_normal((10_000, ROWS))
            along[:, 0] += positive * distance
            ratios.append(np.logaddexp.reduce(distance * along, axis=1))
    truth = np.repeat([0, 1], len(ratios) // 2 * 10_000)
    return float(roc_auc_score(truth, np.concatenate(ratios)))


def train(n_bags: int, distance: float, *, head: Mapping[str, Any], training: Mapping[str, Any]) -> TrainedHead:
    """Trains the folds' heads on planted bags, all of them in the folds."""
    from slicebank_models.cards import EncoderLevel
    from slicebank_models.heads.head_spec import HeadSpec
    from slicebank_models.heads.protocol import Calibration, ProtocolSpec
    from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
    from slicebank_models.heads.targets import Case
    from slicebank_models.training.train_head import train_head

    return train_head(
        PlantedBags(n_bags, distance),
        [Case(number, f"{number:06d}", (number % 2,)) for number in range(n_bags)],
        TaskSpec(TaskKind.BINARY, ("planted",)),
        TrainingSpec.parse({"test_fraction": 0.0, **training}),
        head=HeadSpec.parse(head),
        protocol=ProtocolSpec(calibration=Calibration.NONE, bootstrap=0),
        dim=DIM,
        level=EncoderLevel.SLICE,
        progress=lambda done, total: False,
    )


def judge(trained: TrainedHead, distance: float, n_test: int) -> dict[str, float]:
    """AUROC on new bags, and in how many positive ones the planted row has the most attention."""
    from sklearn.metrics import roc_auc_score

    test = PlantedBags(n_test, distance, _TEST)
    said = [trained.ensemble.predict(test.features(number)) for number in range(n_test)]
    first = [int(said[number].attention.argmax()) == test.planted(number) for number in range(1, n_test, 2)]
    probabilities = [answer.outputs[0].probability or 0.0 for answer in said]
    return {
        "auroc": float(roc_auc_score([number % 2 for number in range(n_test)], probabilities)),
        "planted_row_first": float(np.mean(first)),
        "cross_validated_auroc": float(trained.report["mean"]["auroc"]),
    }
