"""The long forms, run by `make chaos`: 3 workers, 2 APIs, 200 series, 20 of them through a network."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.chaos.conftest import Stage, run_undisturbed, staged_cluster
from tests.chaos.faults import make_schedule
from tests.chaos.load import Load, rows_of
from tests.chaos.reporting import report, tell
from tests.chaos.running import break_on_schedule, run_load
from tests.chaos.verdict import judge, leftovers, tidied
from tests.cluster.shape import Shape

pytestmark = [pytest.mark.slow, pytest.mark.system]

SHAPE = Shape(apis=2, embed=3, train=1, predict=1)
SERIES, WITH_NETWORK = 200, 20
# Workers are then busy most of the time, and what is killed is at work.
TIMES_LONGER = 3
FAULTS, EVERY_S = 45, 4.0
QUIET_S = 300.0


@pytest.fixture(scope="module")
def big_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("chaos-long")
    with staged_cluster(folder, SHAPE, series=SERIES, with_network=WITH_NETWORK, times_longer=TIMES_LONGER) as stage:
        yield stage


def test_without_faults_every_row_once_and_with_them_every_series_its_bag(big_stage: Stage) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    expected = rows_of(big_stage.pieces)
    calm = run_undisturbed(big_stage, quiet_s=QUIET_S)
    tell(report("nothing fails", [], calm.outcome, expected, leftovers(big_stage.cluster)))
    assert calm.wrong == []
    assert calm.outcome.faults == []
    assert calm.outcome.rows == expected, "rows encoded, to the row"
    assert calm.outcome.work.claims == calm.outcome.work.attempts == SERIES
    assert leftovers(big_stage.cluster) == []

    faults = make_schedule(seed, SHAPE, count=FAULTS, every_s=EVERY_S)
    tell(f"CHAOS_SEED={seed}")

    def wreck(_load: Load) -> None:
        break_on_schedule(big_stage.cluster, big_stage.breaker, faults, tell)

    # Three clients that pause so long spread the series over the whole schedule.
    pause_s = 2.8 * FAULTS * EVERY_S / SERIES
    outcome = run_load(big_stage.cluster, big_stage.pieces, pause_s=pause_s, quiet_s=QUIET_S, meanwhile=wreck)
    verdict = judge(big_stage.cluster, outcome.accepted, undisturbed=calm.bags)
    tell(report(f"seed {seed}", faults, outcome, expected, leftovers(big_stage.cluster)))
    assert verdict.wrong == []
    assert len(outcome.accepted) == outcome.work.jobs == SERIES
    assert tidied(big_stage.cluster) == []
    assert outcome.faults == []
