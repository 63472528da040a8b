"""Pages by key: newest first, by (created_at, id), so that a page never shifts while rows are added."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, literal, tuple_

from slicebank_store.errors import BadCursor

MAX_LIMIT = 1000
"""Rows of the largest page: some 2 MB of job rows as JSON."""


def encode_cursor(created_at: float, identifier: str) -> str:
    """An opaque cursor that points behind a row."""
    return base64.urlsafe_b64encode(json.dumps([created_at, identifier]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[float, str]:
    """Reads what `encode_cursor` wrote.

    Raises:
        BadCursor: it was not written by it.
    """
    try:
        match json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))):
            case [int() | float() as created_at, str() as identifier]:
                time = float(created_at)
                identifier.encode()  # a lone surrogate is no text to a database, and PostgreSQL takes no NUL
                if math.isfinite(time) and "\0" not in identifier:
                    return time, identifier
    except (ValueError, OverflowError, RecursionError):  # base64, UTF-8 and JSON errors are of the first kind
        pass
    msg = "The cursor is not one of this list: begin again without a cursor."
    raise BadCursor(msg)


def fetch_page(
    connection: Connection,
    query: Select[Any],
    *,
    created_at: ColumnElement[float],
    identifier: ColumnElement[str],
    limit: int,
    cursor: str | None,
) -> tuple[list[RowMapping], str | None]:
    """Runs a query for one page.

    Args:
        connection: in a transaction.
        query: rows and filters, without order.
        created_at: first part of the order.
        identifier: breaks ties.
        limit: rows wanted; at least 1 and at most `MAX_LIMIT` are given.
        cursor: from the page before.

    Returns:
        The rows and the cursor of the next page, None on the last.

    Raises:
        BadCursor: the cursor is not one of ours.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    if cursor is not None:
        time, last = decode_cursor(cursor)
        # By row values: both databases then walk an index that ends in these columns, from the cursor on.
        here = tuple_(literal(time, created_at.type), literal(last, identifier.type))
        query = query.where(tuple_(created_at, identifier) < here)
    query = query.order_by(created_at.desc(), identifier.desc()).limit(limit + 1)
    rows = list(connection.execute(query).mappings())
    if len(rows) <= limit:
        return rows, None
    end = rows[limit - 1]
    return rows[:limit], encode_cursor(end["created_at"], end[identifier.key])  # type: ignore[index]
