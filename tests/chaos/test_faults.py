"""The schedule: seeded, complete, and never two faults of one target at once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.chaos.faults import Kind, make_schedule
from tests.cluster.shape import LEASE_S, Shape


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_and_no_target_is_broken_twice_at_once(seed: int) -> None:
    faults = make_schedule(seed, Shape(), count=40, every_s=3.0)
    assert faults == make_schedule(seed, Shape(), count=40, every_s=3.0)
    assert faults != make_schedule(seed + 1, Shape(), count=40, every_s=3.0)
    counts = Counter(fault.kind for fault in faults)
    assert set(counts) == set(Kind)
    assert max(counts.values()) - min(counts.values()) <= 1
    for target in {fault.target for fault in faults}:
        mine = [fault for fault in faults if fault.target == target]
        assert all(one.at_s + one.lasts_s < next_one.at_s for one, next_one in pairwise(mine))
    assert all(fault.lasts_s > LEASE_S for fault in faults if fault.kind is Kind.PAUSE_WORKER)
