"""Studies pulled from a PACS that the server's settings name."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class Source:
    """A PACS: its name in the server's settings, and how it is spoken to (dicomweb or dimse)."""

    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ImportedStudy:
    """A study that is being pulled, and its job."""

    job_id: str
    study_uid: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """The studies of one request."""

    jobs: tuple[ImportedStudy, ...] = ()
    n_studies: int = 0
    raw: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The jobs to wait for."""
        return tuple(item.job_id for item in self.jobs)
