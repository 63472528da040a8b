"""The clock of a run, by a clock of the test's own."""

from __future__ import annotations

from slicebank_models.pretraining.run_clock import RunClock


def test_it_counts_from_what_earlier_parts_took_and_stops_while_it_is_paused() -> None:
    now = 100.0
    clock = RunClock(10.0, lambda: now)
    now += 2.0
    assert clock.seconds == 12.0
    with clock.paused():
        now += 50.0
    assert clock.seconds == 12.0


def test_the_rate_is_that_since_it_was_last_asked_for() -> None:
    now = 0.0
    clock = RunClock(0.0, lambda: now)
    clock.count(8)
    clock.count(8)
    now += 4.0
    assert clock.rate() == 4.0
    clock.count(8)
    with clock.paused():
        now += 100.0
    now += 1.0
    assert clock.rate() == 8.0
