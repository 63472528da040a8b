from __future__ import annotations

from slicebank_worker.sweeper import WallClock


def test_a_steady_clock_never_jumps() -> None:
    clock = WallClock(pause_s=15)
    assert not any(clock.jumped(1e9 + t * 1.0001, t) for t in range(0, 10_000, 3))


def test_a_jump_either_way_is_told_for_a_while() -> None:
    for jump in (3600.0, -3600.0):
        clock = WallClock(pause_s=15)
        assert not clock.jumped(1e9, 100)
        assert [clock.jumped(1e9 + jump + t, 100 + t) for t in (3, 9, 17, 18, 30)] == [True, True, True, False, False]
