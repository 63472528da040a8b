"""How large a cluster is, and how quickly it notices what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

QUICK: Mapping[str, str] = {
    # A worker that is killed or paused is missed within seconds. Several beats fit into a lease, on a busy machine too.
    "SLICEBANK_LEASE_SECONDS": "5",
    "SLICEBANK_HEARTBEAT_SECONDS": "0.5",
    "SLICEBANK_SWEEP_SECONDS": "0.5",
    "SLICEBANK_REDISPATCH_SECONDS": "2",
    "SLICEBANK_POSTPONE_SECONDS": "1",
    "SLICEBANK_REPORT_SECONDS": "0.5",
    # What a killed API left in staging goes soon. No request of a test takes as long as this.
    "SLICEBANK_STAGING_SWEEP_SECONDS": "1",
    "SLICEBANK_STAGING_ORPHAN_SECONDS": "20",
}
"""Settings for tests, which wait for what takes minutes at a hospital."""

LEASE_S = float(QUICK["SLICEBANK_LEASE_SECONDS"])


@dataclass(frozen=True, slots=True)
class Shape:
    """How many processes of each kind."""

    apis: int = 2
    embed: int = 3
    train: int = 1
    predict: int = 1

    @property
    def workers(self) -> dict[str, int]:
        """How many workers of each role."""
        return {"embed": self.embed, "train": self.train, "predict": self.predict}
