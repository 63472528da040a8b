"""Files as answers: conditional and partial GET (RFC 9110), read from an open file so that removing it under way does no harm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from slicebank_service.errors import RangeNotSatisfiable

# Large enough that the hop to a thread for each block does not show.
_BLOCK_BYTES = 256 * 1024
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def file_response(
    path: Path, request_headers: Mapping[str, str], *, etag: str, media_type: str, filename: str, stack: ExitStack
) -> Response:
    """Answers with a file, the part of it that was asked for, or 304.

    Args:
        path: the file; only read while it is opened here.
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
        file = stack.enter_context(path.open("rb"))
        size = path.stat().st_size
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
            file.seek(first)
            left = last - first + 1
            while left > 0 and (block := file.read(min(_BLOCK_BYTES, left))):
                left -= len(block)
                yield block

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
