"""Series and what became of an upload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from slicebank.records.decode import JSON
from slicebank.records.jobs import JobState


@dataclass(frozen=True, slots=True)
class Series:
    """One CT series the server knows; `geometry` and `n_slices` are of the default stack of the current revision."""

    series_uid: str
    study_uid: str = ""
    n_slices: int = 0
    revision: int = 0
    geometry: JSON = field(default_factory=dict)
    stacks: tuple[JSON, ...] = ()
    body_part: str = ""
    pixels_kept: bool = False
    warnings: tuple[str, ...] = ()
    created_at: datetime | None = None
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was not taken: its name as it was sent, a stable code, a sentence, and the DICOM tag at fault."""

    name: str
    code: str = ""
    detail: str = ""
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedSeries:
    """A series of which nothing was taken; its files are among the rejected."""

    series_uid: str = ""
    code: str = ""
    detail: str = ""
    tag: str | None = None
    n_files: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not sent because it cannot be a CT slice."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class UploadedSeries:
    """One accepted series; a bag that exists already names the job that made it.

    Attributes:
        known: nothing was sent for it, because the server said that it has it; slices and geometry are not told then.
    """

    series_uid: str
    study_uid: str = ""
    n_slices: int = 0
    geometry: JSON = field(default_factory=dict)
    stacks: tuple[JSON, ...] = ()
    revision: int = 0
    job_id: str | None = None
    bag_id: str | None = None
    state: JobState = JobState.QUEUED
    stack: int | None = None
    warnings: tuple[str, ...] = ()
    known: bool = False
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """The sum of an upload over all its requests; iterating gives the accepted series."""

    series: tuple[UploadedSeries, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    refused_series: tuple[RefusedSeries, ...] = ()

    def __iter__(self) -> Iterator[UploadedSeries]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The jobs to wait for, each once, in the order of the upload."""
        return tuple(dict.fromkeys(item.job_id for item in self.series if item.job_id is not None))

    @property
    def bag_ids(self) -> tuple[str, ...]:
        """The bags that exist once the jobs have succeeded."""
        return tuple(dict.fromkeys(item.bag_id for item in self.series if item.bag_id is not None))

    def __add__(self, other: Upload) -> Upload:
        return Upload(
            self.series + other.series,
            self.rejected + other.rejected,
            self.skipped + other.skipped,
            self.refused_series + other.refused_series,
        )
