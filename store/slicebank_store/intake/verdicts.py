"""What is said of files and series that were not taken, as data."""

from __future__ import annotations

from dataclasses import dataclass

from slicebank_imaging.errors import ImagingError
from slicebank_store.types import JSON


@dataclass(frozen=True, slots=True)
class Rejection:
    """One file that cannot be used.

    Attributes:
        name: the sender's own name for it; goes into the answer and nowhere else.
        file: the ordinal it has in its upload, which may be stored; empty for what never got one.
        code: stable; docs/verdicts.md lists all.
        detail: a sentence that says what is wrong and what to do.
        tag: the DICOM tag at fault, as "(gggg,eeee) Keyword"; None where no tag is.
    """

    name: str
    file: str
    code: str
    detail: str
    tag: str | None = None

    @classmethod
    def of(cls, error: ImagingError, *, name: str, file: str = "") -> Rejection:
        """What an error of imaging says of a file."""
        return cls(name, file, error.code, error.detail, error.tag)

    def as_stored(self) -> JSON:
        """JSON that may be written down: without the sender's name."""
        return {"file": self.file, "code": self.code, "detail": self.detail, "tag": self.tag}
