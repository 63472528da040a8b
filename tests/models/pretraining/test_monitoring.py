"""What the curves of a run mean, against closed forms, and the alarm on collapsed features."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from slicebank_models.pretraining.batches import SliceBatch
from slicebank_models.pretraining.distributed import Processes
from slicebank_models.pretraining.metrics_file import MetricsLine
from slicebank_models.pretraining.monitoring import PATIENCE, CollapseAlarm, alignment, feature_std, uniformity
from slicebank_models.pretraining.stepping import Stepper
from tests.models.pretraining.test_metrics_file import LINE
from tests.models.pretraining.tiny_cache import WINDOWS
from tests.models.pretraining.tiny_runs import tiny_spec


def sphere(rows: int, dim: int) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(0))


def test_features_all_over_the_sphere_have_std_one_over_root_dim() -> None:
    for dim in (8, 64, 512):
        assert feature_std(5.0 * sphere(4096, dim)).item() == pytest.approx(1.0, abs=0.02)


def test_features_that_are_one_point_have_none() -> None:
    assert feature_std(sphere(1, 16).expand(50, 16)).item() == pytest.approx(0.0, abs=1e-6)
    assert feature_std(torch.zeros(50, 16)).item() == 0.0


def test_feature_std_is_the_slow_formula() -> None:
    rows = sphere(20, 5)
    unit = [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in rows.tolist()]
    spreads = []
    for column in zip(*unit, strict=True):
        mean = sum(column) / len(column)
        spreads.append(math.sqrt(sum((value - mean) ** 2 for value in column) / len(column)))
    assert feature_std(rows).item() == pytest.approx(math.sqrt(5) * sum(spreads) / 5, rel=1e-5)


def test_alignment_of_equal_opposite_and_orthogonal_pairs() -> None:
    rows = sphere(10, 6)
    assert alignment(rows, 3.0 * rows).item() == pytest.approx(0.0, abs=1e-6)
    assert alignment(rows, -rows).item() == pytest.approx(4.0, rel=1e-6)
    across = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert alignment(*across).item() == pytest.approx(2.0)


def test_uniformity_is_the_slow_formula() -> None:
    rows = sphere(12, 4)
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    terms = [math.exp(-2.0 * float((unit[i] - unit[j]).square().sum())) for i in range(12) for j in range(12) if i != j]
    assert uniformity(rows).item() == pytest.approx(math.log(sum(terms) / len(terms)), rel=1e-5)


def test_uniformity_of_points_and_spheres() -> None:
    assert uniformity(torch.ones(9, 3)).item() == pytest.approx(0.0, abs=1e-6)
    assert uniformity(torch.zeros(9, 3)).item() == pytest.approx(0.0, abs=1e-6)
    # Orthogonal on average: squared distance 2, which the convexity of exp brings a little nearer to 0.
    assert uniformity(sphere(1024, 256)).item() == pytest.approx(-4.0, abs=0.05)
    halves = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(200, 1)
    assert uniformity(halves).item() == pytest.approx(math.log(0.5), abs=0.01)


def lines(count: int, **values: float) -> list[MetricsLine]:
    return [replace(LINE, step=step, **values) for step in range(1, count + 1)]  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"feature_std": 1e-4}, {"uniformity": -0.1}, {"uniformity": -0.69}])
def test_the_alarm_speaks_once_and_says_what_to_do(values: dict[str, float]) -> None:
    alarm = CollapseAlarm(first_step=4)
    said = [alarm.judge(line) for line in lines(20, **values)]
    spoken = [place for place, sentence in enumerate(said, 1) if sentence]
    assert spoken == [4 + PATIENCE - 1]
    sentence = said[spoken[0] - 1]
    assert sentence is not None
    assert "collapsed at step 6" in sentence
    assert "optimiser.lr" in sentence
    assert alarm.said == sentence


def test_the_alarm_is_silent_on_healthy_curves_and_on_single_lines() -> None:
    alarm = CollapseAlarm(first_step=0)
    assert not any(alarm.judge(line) for line in lines(50))
    bad = {"feature_std": 0.0}
    mixed = [line for _ in range(10) for line in (*lines(PATIENCE - 1, **bad), LINE)]
    assert not any(alarm.judge(line) for line in mixed)
    assert alarm.said == ""


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_collapsed_encoder_is_seen(collapsed: bool) -> None:
    """A last layer without weight gives every slice the same feature, which the heads' norms would hide."""
    stepper = Stepper(tiny_spec(), WINDOWS, steps_per_epoch=5, processes=Processes())
    if collapsed:
        with torch.no_grad():
            for module in (stepper.encoder.trunk.stages, stepper.encoder.trunk.stem):
                for parameter in module.parameters():
                    parameter.zero_()
    hu = torch.randint(-1000, 1000, (8, 48, 48), generator=torch.Generator().manual_seed(1), dtype=torch.int16)
    nothing = torch.zeros(8, 0, 4), torch.zeros(8, dtype=torch.int64), torch.arange(8)
    alarm = CollapseAlarm(first_step=0)
    said = None
    for step in range(PATIENCE):
        loss, accuracy, spread, aligned, uniform = stepper.step(SliceBatch(hu, *nothing), 0).measured().tolist()
        line = replace(
            LINE, step=step, loss=loss, accuracy=accuracy, feature_std=spread, alignment=aligned, uniformity=uniform
        )
        said = alarm.judge(line)
    assert (said is not None) == collapsed
