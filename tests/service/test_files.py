from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from starlette.responses import StreamingResponse

from slicebank_service.answers.files import file_response


class CountedReader:
    """A blob of zeros that notes what was read of it."""

    size = 5_000_000

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        return b"\0" * length


def answer(headers: dict[str, str]) -> tuple[int, int, CountedReader, bool]:
    """Status, bytes sent, the reader, and whether what was open is closed."""
    reader, stack = CountedReader(), ExitStack()
    closed: list[bool] = []
    stack.callback(closed.append, True)
    response = file_response(reader, headers, etag="e", media_type="x/y", filename="f", stack=stack)
    sent = 0
    if isinstance(response, StreamingResponse):

        async def drain() -> int:
            return sum([len(block) async for block in response.body_iterator])

        sent = asyncio.run(drain())
    return response.status_code, sent, reader, closed == [True]


@pytest.mark.parametrize(
    ("asked", "first", "length"), [("bytes=4000000-4000009", 4_000_000, 10), ("bytes=-7", 4_999_993, 7)]
)
def test_a_small_range_of_a_large_blob_reads_nothing_else(asked: str, first: int, length: int) -> None:
    status, sent, reader, closed = answer({"range": asked})
    assert (status, sent, closed) == (206, length, True)
    assert reader.asked == [(first, length)]


def test_a_whole_blob_is_read_in_blocks_one_after_the_other() -> None:
    status, sent, reader, closed = answer({})
    assert (status, sent, closed) == (200, reader.size, True)
    assert max(length for _, length in reader.asked) <= 1 << 20
    assert [start for start, _ in reader.asked] == list(range(0, reader.size, 1 << 20))


def test_a_client_that_has_it_already_reads_nothing() -> None:
    status, sent, reader, closed = answer({"if-none-match": '"e"'})
    assert (status, sent, reader.asked, closed) == (304, 0, [], True)
