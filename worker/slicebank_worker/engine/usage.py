"""How busy the device is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Usage:
    """What an engine has done since it started.

    Attributes:
        runners: threads that feed devices.
        batches: encoded.
        rows: encoded.
        busy_s: seconds that devices worked, summed over runners; a batch counts when it ends.
        batch_rows: rows of a full batch now, by encoder id.
        halvings: batches that were too large for the device's memory.
    """

    runners: int
    batches: int = 0
    rows: int = 0
    busy_s: float = 0.0
    batch_rows: dict[str, int] = field(default_factory=dict)
    halvings: int = 0
