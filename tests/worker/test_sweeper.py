from __future__ import annotations

from slicebank_store.catalogue.jobs import HeldLease
from slicebank_worker.sweeper import LeaseWatch


def test_a_lease_that_stands_still_for_its_time_is_silent() -> None:
    watch = LeaseWatch(lease_s=15)
    dead, alive = HeldLease("dead", 1, 100.0), "alive"
    found = [watch.silent([dead, HeldLease(alive, 1, 100.0 + t)], t) for t in range(0, 31, 3)]
    assert found == [[]] * 5 + [[dead]] * 6


def test_times_of_day_play_no_part() -> None:
    watch = LeaseWatch(lease_s=15)
    for t in range(0, 300, 3):  # renewed by a host whose clock is hours away, and set to and fro
        assert watch.silent([HeldLease("a", 1, -7200.0 * (-1) ** t + t)], t) == []


def test_another_holder_begins_anew() -> None:
    watch = LeaseWatch(lease_s=15)
    assert watch.silent([HeldLease("a", 1, 5.0)], 0) == []
    assert watch.silent([HeldLease("a", 2, 5.0)], 15) == []
    assert watch.silent([], 20) == []
    assert watch.silent([HeldLease("a", 2, 5.0)], 31) == []
    assert watch.silent([HeldLease("a", 2, 5.0)], 46) == [HeldLease("a", 2, 5.0)]
