"""What a worker holds while it works on a job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from slicebank_store.catalogue.records import JobRecord


class Beat(StrEnum):
    """Answer to a heartbeat."""

    OK = "ok"
    LOST = "lost"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job for a while.

    Attributes:
        job: as it was when claimed.
        fence: token that every later word about the job must carry; a newer lease has a greater one.
        worker: who holds it.
    """

    job: JobRecord
    fence: int
    worker: str

    @property
    def alone(self) -> bool:
        """Whether the job should run beside no other, because workers that held it fell silent."""
        return self.job.runs_alone
