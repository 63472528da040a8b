"""The server: is it there, does it know the key, which encoders has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from slicebank.client import Client
from slicebank.doctor.finding import Finding, State
from slicebank.errors import NotAuthorised, ServerFault, ServerNotFound, SlicebankError
from slicebank.records import Encoder

# A server that works answers its readiness in milliseconds.
ANSWER_SECONDS = 5.0


def examine_server(
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    *,
    transport: httpx.BaseTransport | None = None,
) -> Iterator[Finding]:
    """Look for the server, then for what it lets this key see."""
    try:
        client = Client(url, api_key, data_dir=data_dir, timeout=ANSWER_SECONDS, transport=transport)
    except ServerNotFound as error:
        yield Finding("server", State.WARN, error.detail, error.hint)
        return
    with client:
        try:
            ready = client.ready()
        except ServerFault as error:
            problems = [name for name, value in error.problem.items() if value is False]
            detail = f"{client.url} runs and is not ready" + (f" ({', '.join(problems)})" if problems else "")
            yield Finding("server", State.FAIL, detail, "Look at the logs in its data folder.")
        except SlicebankError as error:
            yield Finding("server", State.FAIL, error.detail, error.hint)
            return
        else:
            yield Finding("server", State.OK, f"{client.url} is {ready.get('status', 'there')}")
        try:
            encoders = list(client.encoders.list())
        except NotAuthorised as error:
            yield Finding("key", State.FAIL, error.detail, error.hint)
            return
        except SlicebankError as error:
            yield Finding("key", State.FAIL, f"could not be tried: {error.detail}", error.hint)
            return
        yield Finding("key", State.OK, "the server takes it")
        yield from examine_encoders(encoders)


def examine_encoders(cards: Sequence[Encoder]) -> Iterator[Finding]:
    """The default encoder by itself, then the others in one line, then those whose weights are gone."""
    for card in cards:
        if card.default and card.weights != "missing":
            yield _default_encoder(card)
    missing = [card.id for card in cards if card.weights == "missing"]
    usable = [card for card in cards if card.weights != "missing"]
    untrained = sum(card.untrained for card in usable)
    detail = f"{len(usable)} can embed here" + (f", {untrained} of them untrained" if untrained else "")
    yield Finding("encoders", State.OK if usable else State.FAIL, detail, "" if usable else "Look at the server's log.")
    if missing:
        yield Finding(
            "weights",
            State.WARN,
            f"missing for {', '.join(missing)}",
            "Register those encoders again with `slicebank encoders add`.",
        )


def _default_encoder(card: Encoder) -> Finding:
    if card.untrained:
        return Finding(
            "default encoder",
            State.WARN,
            f"{card.id} has untrained weights",
            "Good for trying the path; for real questions register trained weights with `slicebank encoders add`.",
        )
    return Finding("default encoder", State.OK, card.id)
