"""Identifiers as parts of a URL path."""

from __future__ import annotations

from urllib.parse import quote

from slicebank.errors import InputError


def url_part(identifier: str) -> str:
    """Quote an identifier so that it can only ever be one part of the path.

    Raises:
        InputError: it is empty, or a step of a path.
    """
    if identifier.strip() in ("", ".", ".."):
        raise InputError("An identifier is empty.", hint="Give the id that `list` or `upload` printed.")
    return quote(identifier, safe="")
