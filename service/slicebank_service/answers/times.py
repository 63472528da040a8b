"""Times as the REST interface writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(seconds: float) -> str:
    """Unix seconds (UTC) as ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(seconds: float | None) -> str | None:
    """The same, where there may be no time yet."""
    return None if seconds is None else iso(seconds)
