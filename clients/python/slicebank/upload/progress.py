"""Where an upload is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from slicebank.upload.batches import Batch


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """Where an upload is: bytes over all requests, and the request under way (`batch` counts from 1).

    Attributes:
        sent_bytes: of what was sent or need not be; it falls back where a connection broke.
        total_bytes: of all requests.
        batch: the request under way.
        batches: how many there are.
        name: of the request, for people.
        files: in the request.
        hashed_bytes: of the request, while its files are read to ask whether they are known; 0 while it is sent.
    """

    sent_bytes: int
    total_bytes: int
    batch: int
    batches: int
    name: str
    files: int
    hashed_bytes: int = 0


OnUpload = Callable[[UploadProgress], object]


class Reporter:
    """Tells of one request of an upload."""

    def __init__(
        self, on_progress: OnUpload | None, before: int, total: int, number: int, batches: int, batch: Batch
    ) -> None:
        self._on_progress = on_progress
        self._before = before
        self._total = total
        self._number = number
        self._batches = batches
        self._batch = batch
        self._hashed = 0

    def counting(self, content: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on and tell of each."""
        sent = 0
        self.sent(sent)
        for chunk in content:
            yield chunk
            sent += len(chunk)
            self.sent(sent)

    def sent(self, sent: int) -> None:
        """Tell how many bytes of the request have been sent."""
        self._tell(sent, 0)

    def hashed(self, size: int) -> None:
        """Tell of bytes that were read to ask whether they are known."""
        self._hashed += size
        self._tell(0, self._hashed)

    def _tell(self, sent: int, hashed: int) -> None:
        if self._on_progress is not None:
            self._on_progress(
                UploadProgress(
                    self._before + sent,
                    self._total,
                    self._number,
                    self._batches,
                    self._batch.name,
                    len(self._batch.files),
                    hashed,
                )
            )
