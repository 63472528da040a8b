"""Sending the requests of one upload, and the sum of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slicebank.errors import (
    ApiError,
    ConnectionFailed,
    FileChanged,
    InvalidRequest,
    NothingToUpload,
    NothingUsable,
    RequestTimedOut,
    SlicebankError,
    UploadInterrupted,
)
from slicebank.records import RefusedSeries, Rejected, Upload, UploadedSeries, decode_all
from slicebank.transport import Query, Transport
from slicebank.upload.batches import Batch, batches_of
from slicebank.upload.digests import content_digest, stream_digest
from slicebank.upload.discover import discover
from slicebank.upload.known import ask_known, lacks_route, upload_name
from slicebank.upload.progress import OnUpload, Reporter
from slicebank.upload.tus import ResumableSender
from slicebank.upload.unfinished import UnfinishedUploads, upload_key

# Sending less again costs a few seconds, which is what the further requests of a resumable upload cost on a slow line.
RESUMABLE_BYTES = 64_000_000
TOO_LARGE = 413
# What the server calls a body that is one file.
NAMELESS = ("", "body", "upload")

OnKnown = Callable[[Sequence[UploadedSeries]], bool]


@dataclass(frozen=True, slots=True)
class Sending:
    """How an upload is sent.

    Attributes:
        state_dir: where unfinished uploads are remembered.
        check: ask first what the server knows, and do not send that.
        resumable: send so that a broken upload goes on where it stopped; None for what is larger than 64 MB.
        below: look into folders in folders, too.
        on_known: asked before something known is left out; False has it sent all the same.
    """

    state_dir: Path
    check: bool = True
    resumable: bool | None = None
    below: bool = True
    on_known: OnKnown | None = None


def send_upload(
    transport: Transport,
    paths: Sequence[Path],
    query: Query,
    sending: Sending,
    *,
    on_progress: OnUpload | None = None,
) -> Upload:
    """Find, group and send; a request with nothing usable in it does not stop the others.

    Raises:
        PathNotFound, NothingToUpload, FileChanged: about the paths.
        NothingUsable: no file of the whole upload was accepted.
        UploadInterrupted: the connection broke after at least one request had been taken in.
        ApiError, ConnectionFailed, RequestTimedOut: as for every request.
    """
    found = discover(paths, below=sending.below)
    batches = batches_of(found)
    if not batches:
        raise NothingToUpload(
            f"Nothing that could be CT was found in {_spoken(paths)}; {len(found.skipped)} files were passed over."
        )
    done = Upload(skipped=found.skipped)
    sender = BatchSender(transport, query, sending)
    lengths = [batch.body().length for batch in batches]
    before, total = 0, sum(lengths)
    refusal: SlicebankError | None = None
    answered = False
    for number, (batch, length) in enumerate(zip(batches, lengths, strict=True), start=1):
        report = Reporter(on_progress, before, total, number, len(batches), batch)
        try:
            done += sender.send(batch, report)
        except (ConnectionFailed, RequestTimedOut) as error:
            if not done.series:
                raise
            raise UploadInterrupted(
                f"The upload broke at request {number} of {len(batches)}: {error.detail}", done=done
            ) from error
        except (InvalidRequest, FileChanged) as error:
            # What is wrong with the request itself is wrong with the first of them already.
            if not (answered or _is_about_the_files(error)):
                raise
            if refusal is None or not isinstance(refusal, NothingUsable):
                refusal = error
            done += _refused(batch, error)
        answered = True
        before += length
    if refusal is not None and not done.series:
        if isinstance(refusal, NothingUsable):
            refusal.problem = {**refusal.problem, "rejected": [_as_json(item) for item in done.rejected]}
        raise refusal
    return done


class BatchSender:
    """Sends requests one by one: not at all, whole, or in parts that can be resumed."""

    def __init__(self, transport: Transport, query: Query, sending: Sending) -> None:
        self._transport = transport
        self._query = query
        self._sending = sending
        self._unfinished = UnfinishedUploads(sending.state_dir)
        self._resumable = ResumableSender(transport, self._unfinished)
        self._can_resume = True

    def send(self, batch: Batch, report: Reporter) -> Upload:
        """Send one request, unless the server has its content."""
        body = batch.body()
        resumable = self._can_resume and (
            body.length > RESUMABLE_BYTES if self._sending.resumable is None else self._sending.resumable
        )
        if not (self._sending.check or resumable):
            return self._post(batch, self._query, report)
        content = content_digest(batch, on_hashed=report.hashed)
        name = upload_name(content, self._query)
        query = {**self._query, "digest": name}
        if self._sending.check:
            known = ask_known(self._transport, name, self._query)
            if known and (self._sending.on_known is None or self._sending.on_known(known)):
                report.sent(body.length)
                return Upload(series=known)
        if not resumable:
            return self._post(batch, query, report)
        key = upload_key(self._transport.connection.url, query, stream_digest(batch, content))
        try:
            answer = self._resumable.send(body, key, content_type=batch.content_type, query=query, on_sent=report.sent)
        except FileChanged:
            self._resumable.abandon(key)
            raise
        except ApiError as error:
            if self._sending.resumable or not lacks_route(error):
                raise
            self._can_resume = False
            return self._post(batch, query, report)
        return _decoded(batch, answer)

    def _post(self, batch: Batch, query: Query, report: Reporter) -> Upload:
        body = batch.body()

        def content() -> Iterator[bytes]:
            return report.counting(body.read())

        answer = self._transport.send_stream(
            "/v1/series", content, length=body.length, content_type=batch.content_type, query=query
        )
        return _decoded(batch, answer)


def _decoded(batch: Batch, answer: dict[str, Any]) -> Upload:
    return Upload(
        series=decode_all(UploadedSeries, answer.get("series")),
        rejected=_named(batch, decode_all(Rejected, answer.get("rejected"))),
        refused_series=decode_all(RefusedSeries, answer.get("refused_series")),
    )


def _refused(batch: Batch, error: InvalidRequest | FileChanged) -> Upload:
    if isinstance(error, NothingUsable):
        return Upload(rejected=_named(batch, error.rejected), refused_series=error.refused_series)
    return Upload(rejected=(Rejected(batch.name, error.code, error.detail),))


def _is_about_the_files(error: InvalidRequest | FileChanged) -> bool:
    return isinstance(error, (NothingUsable, FileChanged)) or error.status == TOO_LARGE


def _named(batch: Batch, rejected: tuple[Rejected, ...]) -> tuple[Rejected, ...]:
    """Say which archive a refused file lay in, whose name the server never saw."""
    if not batch.as_it_is:
        return rejected
    return tuple(
        replace(item, name=batch.name if item.name in NAMELESS else f"{batch.name}/{item.name}") for item in rejected
    )


def _spoken(paths: Sequence[Path]) -> str:
    named = [str(path) for path in paths]
    return ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


def _as_json(item: Rejected) -> dict[str, str | None]:
    return {"name": item.name, "code": item.code, "detail": item.detail, "tag": item.tag}
