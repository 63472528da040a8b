"""Asking the server what it knows already, before anything is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from slicebank.errors import ApiError, UnexpectedAnswer
from slicebank.records import UploadedSeries, decode_all
from slicebank.transport import Query, Transport

NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405
# What changes the bag, or whose it is said to be, without changing the files.
TELLING = ("assume_rescale", "force", "patient", "stack", "study_uid")


def upload_name(content: str, query: Query) -> str:
    """What an upload is called, 64 hex digits: its content, and what is said of it that is not in the files.

    Without such options it is the digest of the content alone, so that other senders call it the same.
    """
    said = [f"{name}={query[name]}" for name in TELLING if query.get(name) is not None]
    return hashlib.sha256("\n".join([content, *said]).encode()).hexdigest() if said else content


def lacks_route(error: ApiError) -> bool:
    """Whether a server refused because it does not know the call, rather than what the call names."""
    return error.status == METHOD_NOT_ALLOWED or (
        error.status == NOT_FOUND and error.code in ("no_such_route", "not_found", "http_404")
    )


def ask_known(transport: Transport, digest: str, query: Query) -> tuple[UploadedSeries, ...]:
    """The series of an upload, where all that is asked of it exists or is being made; empty where it must be sent.

    A server that does not know the question is one that knows nothing.
    """
    asked: list[Mapping[str, object]] = []
    if query.get("embed") is not False:
        encoder = query.get("encoder")
        asked.append({} if encoder is None else {"encoder": encoder})
    if not asked or query.get("retain"):
        asked.append({"encoder": None})
    found: tuple[UploadedSeries, ...] = ()
    for what in reversed(asked):
        try:
            answer = transport.send("POST", "/v1/series/check", body={"sha256": [digest], **what}, repeatable=True)
        except ApiError as error:
            if lacks_route(error):
                return ()
            raise
        known = answer.get("known")
        if not isinstance(known, Mapping):
            raise UnexpectedAnswer("/v1/series/check was not answered with what is known.")
        items = known.get(digest) or []
        found = decode_all(UploadedSeries, [{**item, "known": True} for item in items])
        if not found:
            return ()
    return found
