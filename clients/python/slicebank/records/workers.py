"""Workers as the server tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class Worker:
    """One living worker; rates and shares are over its last window of `window_s` seconds.

    Attributes:
        role: embed, train or predict.
        device: what it encodes on; None where it encodes nothing.
        seen_at: when it last reported, by its own clock.
        jobs: jobs in hand.
        encoders: encoders in its memory.
        lacking: encoders that jobs asked it for and whose weights it does not have.
        rows_total: rows encoded since it started.
        utilisation: share of the window in which the device was encoding, 0 to 1.
        decode_share: share of the decoding threads' time that was used, 0 to 1.
        batch_rows: rows of a full batch now, by encoder.
        bound_by: "device", "decode" or "idle"; None where it cannot be said.
    """

    name: str
    role: str = ""
    device: str | None = None
    started_at: datetime | None = None
    seen_at: datetime | None = None
    jobs: int = 0
    encoders: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    rows_total: int = 0
    rows_per_second: float = 0.0
    window_s: float = 0.0
    utilisation: float | None = None
    decode_share: float | None = None
    batch_rows: JSON = field(default_factory=dict)
    bound_by: str | None = None
    raw: JSON = field(default_factory=dict, repr=False, compare=False)
