"""Blobs and files as answers: conditional and partial GET (RFC 9110), of which only the part asked for is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from slicebank_service.errors import RangeNotSatisfiable
from slicebank_store.blobs import BlobReader

# Large enough that neither the hop to a thread nor a request to S3 for each block shows; a download holds one block.
_BLOCK_BYTES = 1 << 20
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def file_response(
    reader: BlobReader,
    request_headers: Mapping[str, str],
    *,
    etag: str,
    media_type: str,
    filename: str,
    stack: ExitStack,
) -> Response:
    """Answers with a file, the part of it that was asked for, or 304.

    Args:
        reader: the open blob or file.
        request_headers: If-None-Match, Range and If-Range are honoured; one range at a time, several get the whole file.
        etag: strong validator, without quotes.
        media_type: of the content.
        filename: offered to the client for saving.
        stack: closed when the answer is over; owned by the answer from now on.

    Raises:
        RangeNotSatisfiable: the range begins beyond the end.
    """
    quoted = f'"{etag}"'
    headers = {
        "ETag": quoted,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{filename}"',
    }
    if _matches(request_headers.get("if-none-match", ""), quoted):
        stack.close()
        return Response(status_code=304, headers=headers)
    try:
        size = reader.size
        wanted = request_headers.get("range", "") if request_headers.get("if-range", quoted) == quoted else ""
        span = _span(wanted, size)
    except BaseException:
        stack.close()
        raise
    first, last = span if span is not None else (0, size - 1)
    headers["Content-Length"] = str(last - first + 1)
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"

    def blocks() -> Iterator[bytes]:
        # A generator that is never begun runs no `finally`; the background task closes the stack then.
        with stack:
            for start in range(first, last + 1, _BLOCK_BYTES):
                yield reader.read(start, min(_BLOCK_BYTES, last + 1 - start))

    status = 200 if span is None else 206
    return StreamingResponse(
        blocks(), status_code=status, media_type=media_type, headers=headers, background=BackgroundTask(stack.close)
    )


def _matches(header: str, quoted: str) -> bool:
    # If-None-Match compares weakly: W/ is ignored (RFC 9110, 13.1.2).
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return quoted in tags or "*" in tags


def _span(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte asked for, or None for the whole file; what is not one well-formed range is ignored (RFC 9110, 14.2)."""
    found = _ONE_RANGE.fullmatch(header.strip())
    if found is None or not any(found.groups()):
        return None
    first_text, last_text = found.groups()
    if not first_text:
        first, last = max(0, size - int(last_text)), size - 1
    else:
        first, last = int(first_text), min(int(last_text), size - 1) if last_text else size - 1
        if last_text and int(last_text) < first:
            return None
    if first >= size:
        raise RangeNotSatisfiable(
            f"the file has {size} bytes; ask for a range that begins before its end", size_bytes=size
        )
    return first, last
