"""The short forms: nothing fails, every process is replaced in turn, and everything fails at once, each over one load."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.conftest import SHORT, Stage, Undisturbed
from tests.chaos.faults import make_schedule
from tests.chaos.load import Load, rows_of
from tests.chaos.reporting import report, tell
from tests.chaos.running import break_on_schedule, forget, run_load
from tests.chaos.verdict import judge, leftovers, tidied

pytestmark = pytest.mark.system

SEED = 4
FAULTS, EVERY_S = 12, 2.0
QUIET_S = 120.0


def test_nothing_fails_and_every_row_is_encoded_once(stage: Stage, undisturbed: Undisturbed) -> None:
    assert undisturbed.wrong == []
    assert undisturbed.outcome.faults == []
    assert undisturbed.outcome.rows == rows_of(stage.pieces), "rows encoded, to the row"
    work = undisturbed.outcome.work
    assert work.claims == work.attempts == work.jobs == len(stage.pieces)
    assert leftovers(stage.cluster) == []


def test_every_process_is_replaced_in_turn_and_nothing_is_lost(stage: Stage, undisturbed: Undisturbed) -> None:
    cluster = stage.cluster
    forget(cluster)
    handed_back = cluster.logged("job_handed_back")

    def replace_all(_load: Load) -> None:
        for name in cluster.names:
            before = cluster.pid(name)
            cluster.signal(name, signal.SIGTERM)
            cluster.wait_until(lambda: cluster.pid(name) != before, f"{name} to be replaced", seconds=60)  # noqa: B023
            cluster.wait_until_ready()

    outcome = run_load(cluster, stage.pieces, pause_s=2.5, quiet_s=QUIET_S, meanwhile=replace_all)
    verdict = judge(cluster, outcome.accepted, undisturbed=undisturbed.bags)
    assert verdict.wrong == []
    assert outcome.faults == []
    assert outcome.work.attempts == outcome.work.jobs == len(stage.pieces), "no attempt is counted"
    # A lease that ran out would be one more claim that nobody handed back.
    assert outcome.work.claims - outcome.work.jobs == cluster.logged("job_handed_back") - handed_back
    assert leftovers(cluster) == []


def test_everything_fails_and_every_accepted_series_has_its_bag(stage: Stage, undisturbed: Undisturbed) -> None:
    cluster = stage.cluster
    forget(cluster)
    faults = make_schedule(SEED, SHORT, count=FAULTS, every_s=EVERY_S)

    def wreck(_load: Load) -> None:
        break_on_schedule(cluster, stage.breaker, faults, tell)

    outcome = run_load(cluster, stage.pieces, pause_s=2.5, quiet_s=QUIET_S, meanwhile=wreck)
    verdict = judge(cluster, outcome.accepted, undisturbed=undisturbed.bags)
    tell(report(f"seed {SEED}", faults, outcome, rows_of(stage.pieces), leftovers(cluster)))
    assert verdict.wrong == []
    assert len(outcome.accepted) == outcome.work.jobs == len(stage.pieces)
    assert tidied(cluster) == []
