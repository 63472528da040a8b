"""Lists that the server hands out page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from slicebank.errors import UnexpectedAnswer
from slicebank.records import decode
from slicebank.transport import Query, Transport

T = TypeVar("T")

# A page of 200 rows is some 100 kB of JSON.
PAGE_ROWS = 200


def paged(transport: Transport, path: str, cls: type[T], query: Query, *, limit: int | None) -> Iterator[T]:
    """Walk a list from its first row, asking for the next page only when it is reached.

    Raises:
        UnexpectedAnswer: the answer is not a page, or its cursor does not move.
    """
    left = limit
    cursor: str | None = None
    while left is None or left > 0:
        rows = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
        page = transport.get(path, {**query, "limit": rows, "cursor": cursor})
        items = page.get("items")
        if not isinstance(items, list):
            raise UnexpectedAnswer(f"{path} was not answered with a list of items.")
        for item in items[:left]:
            yield decode(cls, item)
        following = page.get("next_cursor")
        if following is None or not items:
            return
        if following == cursor:
            raise UnexpectedAnswer(f"{path} hands out the same page again and again.")
        cursor = str(following)
        left = None if left is None else left - len(items)
