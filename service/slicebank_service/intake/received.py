"""What is left of an upload's body once it lies in staging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from slicebank_store.intake.received import ReceivedFile


@dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """A whole body, received.

    Attributes:
        files: in the order sent.
        size_bytes: bytes of the body as sent.
    """

    files: tuple[ReceivedFile, ...]
    size_bytes: int


class Sink(Protocol):
    """Takes the bytes of a body and leaves files in a folder."""

    def feed(self, block: bytes) -> None:
        """Takes the next bytes."""

    def finish(self) -> tuple[ReceivedFile, ...]:
        """Ends the body and closes what is open."""

    def close(self) -> None:
        """Closes what is open, whatever state the body is in."""
