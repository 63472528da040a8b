"""Sending the requests of one upload, and the sum of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicebank.errors import ConnectionFailed, NothingToUpload, NothingUsable, RequestTimedOut, UploadInterrupted
from slicebank.records import Rejected, Upload, UploadedSeries, decode_all
from slicebank.transport import Query, Transport
from slicebank.upload.batches import Batch, batches_of
from slicebank.upload.discover import discover
from slicebank.upload.tarstream import file_stream, tar_stream


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """Where an upload is: bytes over all requests, and the request under way (`batch` counts from 1)."""

    sent_bytes: int
    total_bytes: int
    batch: int
    batches: int
    name: str
    files: int


OnUpload = Callable[[UploadProgress], object]


def send_upload(
    transport: Transport, paths: Sequence[Path], query: Query, *, on_progress: OnUpload | None = None
) -> Upload:
    """Find, group and send; a request with nothing usable in it does not stop the others.

    Raises:
        PathNotFound, NothingToUpload, FileChanged: about the paths.
        NothingUsable: no file of the whole upload was accepted.
        UploadInterrupted: the connection broke after at least one request had been taken in.
        ApiError, ConnectionFailed, RequestTimedOut: as for every request.
    """
    found = discover(paths)
    batches = batches_of(found)
    if not batches:
        raise NothingToUpload(
            f"Nothing that could be DICOM was found in {_spoken(paths)}; {len(found.skipped)} files were passed over."
        )
    done = Upload(skipped=found.skipped)
    lengths = [batch.length for batch in batches]
    before, total = 0, sum(lengths)
    refusal: NothingUsable | None = None
    for number, (batch, length) in enumerate(zip(batches, lengths, strict=True), start=1):
        report = _Reporter(on_progress, before, total, number, len(batches), batch)
        try:
            done += _send_batch(transport, batch, length, query, report)
        except NothingUsable as error:
            refusal = error
            done += Upload(rejected=error.rejected)
        except (ConnectionFailed, RequestTimedOut) as error:
            if not done.series:
                raise
            raise UploadInterrupted(
                f"The upload broke at request {number} of {len(batches)}: {error.detail}", done=done
            ) from error
        before += length
    if refusal is not None and not done.series:
        refusal.problem = {**refusal.problem, "rejected": [_as_json(item) for item in done.rejected]}
        raise refusal
    return done


def _send_batch(transport: Transport, batch: Batch, length: int, query: Query, report: _Reporter) -> Upload:
    def content() -> Iterator[bytes]:
        return report.counting(file_stream(batch.files[0]) if batch.is_archive else tar_stream(batch.files))

    answer = transport.send_stream("/v1/series", content, length=length, content_type=batch.content_type, query=query)
    return Upload(
        series=decode_all(UploadedSeries, answer.get("series")), rejected=decode_all(Rejected, answer.get("rejected"))
    )


def _spoken(paths: Sequence[Path]) -> str:
    named = [str(path) for path in paths]
    return ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


def _as_json(item: Rejected) -> dict[str, str]:
    return {"name": item.name, "code": item.code, "detail": item.detail}


@dataclass(frozen=True, slots=True)
class _Reporter:
    on_progress: OnUpload | None
    before: int
    total: int
    number: int
    batches: int
    batch: Batch

    def counting(self, content: Iterable[bytes]) -> Iterator[bytes]:
        sent = self.before
        self._tell(sent)
        for chunk in content:
            yield chunk
            sent += len(chunk)
            self._tell(sent)

    def _tell(self, sent: int) -> None:
        if self.on_progress is not None:
            self.on_progress(
                UploadProgress(sent, self.total, self.number, self.batches, self.batch.name, len(self.batch.files))
            )
