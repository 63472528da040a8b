from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from slicebank_worker.engine.usage import Usage
from slicebank_worker.gauge import WINDOW_S, Gauge


@dataclass
class Worked:
    """What the engine and the decoders say they have done."""

    usage: Usage = field(default_factory=lambda: Usage(runners=2))
    decoding_s: float = 0.0

    def gauge(self) -> Gauge:
        return Gauge(lambda: self.usage, lambda: self.decoding_s, decode_threads=4)


def test_nothing_is_known_at_first() -> None:
    reading = Worked().gauge().read(5.0)
    assert (reading.window_s, reading.rows_per_second, reading.bound_by) == (0.0, 0.0, "idle")


@pytest.mark.parametrize(
    ("busy_s", "decoding_s", "bound"), [(18.0, 4.0, "device"), (10.0, 30.0, "decode"), (1.0, 1.0, "idle")]
)
def test_shares_are_of_all_runners_and_threads(busy_s: float, decoding_s: float, bound: str) -> None:
    worked = Worked()
    gauge = worked.gauge()
    gauge.read(0.0)
    worked.usage, worked.decoding_s = Usage(2, batches=3, rows=50, busy_s=busy_s), decoding_s
    reading = gauge.read(10.0)
    assert (reading.window_s, reading.rows_per_second) == (10.0, 5.0)
    assert (reading.utilisation, reading.decode_share) == (busy_s / 20, decoding_s / 40)
    assert reading.bound_by == bound


def test_what_was_done_before_the_window_is_forgotten() -> None:
    worked = Worked()
    gauge = worked.gauge()
    gauge.read(0.0)
    worked.usage = Usage(2, batches=1, rows=100, busy_s=20.0)
    for now in range(1, int(2 * WINDOW_S)):
        reading = gauge.read(float(now))
    assert (reading.rows_per_second, reading.utilisation) == (0.0, 0.0)
    assert reading.window_s == pytest.approx(WINDOW_S, abs=1)


def test_a_batch_begun_before_the_window_makes_no_more_than_all_of_it() -> None:
    worked = Worked()
    gauge = worked.gauge()
    gauge.read(0.0)
    worked.usage = Usage(2, batches=1, rows=100, busy_s=50.0)
    assert gauge.read(1.0).utilisation == 1.0
