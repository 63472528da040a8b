"""What verifying finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from slicebank_store.types import JSON


class FindingCode(StrEnum):
    """Sorts of findings; docs/upkeep.md explains each."""

    BLOB_MISSING = "blob_missing"
    BLOB_SIZE = "blob_size"
    BLOB_CHECKSUM = "blob_checksum"
    BLOB_UNREADABLE = "blob_unreadable"
    BLOB_UNREACHABLE = "blob_unreachable"
    BLOB_ORPHAN = "blob_orphan"
    BLOB_FOREIGN = "blob_foreign"
    JOB_SILENT = "job_silent"
    JOB_WAITING = "job_waiting"
    JOB_FORSAKEN = "job_forsaken"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        what: the blob's key, or the job's id.
        owner: what hangs on it: bag id, head id or SeriesInstanceUID; for a job its kind; empty where there is none.
        sentence: what is wrong.
        action: what was done, or what can be done.
        mended: whether it was put right.
    """

    code: FindingCode
    what: str
    owner: str
    sentence: str
    action: str
    mended: bool = False

    def as_dict(self) -> JSON:
        """The finding as JSON."""
        return {
            "code": self.code.value,
            "what": self.what,
            "owner": self.owner,
            "sentence": self.sentence,
            "action": self.action,
            "mended": self.mended,
        }
