"""Files of an upload as they lie in staging, before anybody has looked into them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slicebank_imaging.archives.kinds import ArchiveKind


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """One file of an upload as it lies in staging.

    Attributes:
        path: where it lies.
        name: the sender's own name for it, to be echoed in the answer and stored nowhere.
        archive: what the sender says it is; its bytes are believed first.
    """

    path: Path
    name: str
    archive: ArchiveKind | None = None
