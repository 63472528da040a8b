"""The server: is it there, does it know the key, which encoders has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from slicebank.client import Client
from slicebank.doctor.finding import Finding, State
from slicebank.errors import NotAuthorised, ServerFault, ServerNotFound, SlicebankError
from slicebank.records import Encoder, Worker

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
            broken = client.encoders.problems()
        except NotAuthorised as error:
            yield Finding("key", State.FAIL, error.detail, error.hint)
            return
        except SlicebankError as error:
            yield Finding("key", State.FAIL, f"could not be tried: {error.detail}", error.hint)
            return
        yield Finding("key", State.OK, "the server takes it")
        yield from examine_encoders(encoders, broken)
        yield from _examine_workers(client)


def examine_encoders(cards: Sequence[Encoder], problems: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The default encoder by itself, then the others in one line, then those that lost their weights or their cards."""
    for card in cards:
        if card.default:
            yield _default_encoder(card)
    usable = [card for card in cards if card.usable]
    untrained = sum(card.untrained for card in usable)
    published = sum(not card.usable and not card.registered for card in cards)
    detail = f"{len(usable)} can embed here" + (f", {untrained} of them untrained" if untrained else "")
    if published:
        detail += f"; {published} published ones can be had with `slicebank encoders pull`"
    yield Finding("encoders", State.OK if usable else State.FAIL, detail, "" if usable else "Look at the server's log.")
    lost = [card.id for card in cards if card.registered and not card.usable]
    if lost:
        yield Finding(
            "weights",
            State.WARN,
            f"lost of {', '.join(lost)}",
            "`slicebank encoders verify` says of each how to get them back.",
        )
    if problems:
        yield Finding(
            "cards",
            State.WARN,
            " ".join(problems.values()),
            "Remove such an encoder's folder, and pull or add it again.",
        )


def examine_workers(workers: Sequence[Worker]) -> Iterator[Finding]:
    """Workers that were asked for encoders whose weights they do not have."""
    for worker in workers:
        if worker.lacking:
            yield Finding(
                "worker",
                State.FAIL,
                f"{worker.name} lacks usable weights of {', '.join(worker.lacking)}",
                "Pull or add them where it looks (SLICEBANK_ENCODERS_DIR there), then retry the jobs that failed.",
            )


def _examine_workers(client: Client) -> Iterator[Finding]:
    try:
        yield from examine_workers(list(client.workers.list()))
    except SlicebankError as error:
        yield Finding("workers", State.WARN, f"could not be asked: {error.detail}", error.hint)


def _default_encoder(card: Encoder) -> Finding:
    if not card.usable:
        return Finding("default encoder", State.FAIL, f"{card.id} has lost its weights", card.how_to_get)
    if card.untrained:
        return Finding(
            "default encoder",
            State.WARN,
            f"{card.id} has untrained weights",
            "Good for trying the path; for real questions get trained weights with `slicebank encoders pull` or `add`.",
        )
    return Finding("default encoder", State.OK, card.id)
