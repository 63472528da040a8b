"""Every way an exchange can go wrong ends in an error of ours that says what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from slicebank import NO_RETRIES, Client, errors
from slicebank.errors import SlicebankError, api_error
from tests.client.speaking_server import KEY, SpeakingServer

BROKEN: list[tuple[Callable[[httpx.Request], Exception], type[SlicebankError]]] = [
    (lambda request: httpx.ConnectError("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.ConnectTimeout("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.ReadTimeout("no", request=request), errors.RequestTimedOut),
    (lambda request: httpx.WriteTimeout("no", request=request), errors.RequestTimedOut),
    (lambda request: httpx.PoolTimeout("no", request=request), errors.RequestTimedOut),
    (lambda request: httpx.ReadError("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.WriteError("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.CloseError("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.RemoteProtocolError("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.LocalProtocolError("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.UnsupportedProtocol("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.ProxyError("no", request=request), errors.ConnectionFailed),
    (lambda request: httpx.DecodingError("no", request=request), errors.ConnectionFailed),
]

STATUSES = [
    (400, {}, errors.InvalidRequest),
    (401, {}, errors.NotAuthorised),
    (403, {}, errors.NotAuthorised),
    (404, {"code": "unknown_series"}, errors.NotFound),
    (404, {"code": "bag_not_ready"}, errors.NotReady),
    (405, {}, errors.InvalidRequest),
    (409, {"code": "pixels_not_kept"}, errors.Conflict),
    (413, {}, errors.InvalidRequest),
    (415, {}, errors.InvalidRequest),
    (422, {}, errors.InvalidRequest),
    (422, {"rejected": []}, errors.NothingUsable),
    (429, {}, errors.TooManyRequests),
    (500, {}, errors.ServerFault),
    (503, {}, errors.ServerFault),
    (507, {}, errors.ServerFault),
]


def answering(handler: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://server", KEY, transport=httpx.MockTransport(handler), retries=NO_RETRIES)


@pytest.mark.parametrize(("make", "expected"), BROKEN)
def test_broken_exchanges(make: Callable[[httpx.Request], Exception], expected: type[SlicebankError]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise make(request)

    with answering(handler) as client, pytest.raises(expected) as caught:
        client.jobs.get("a")
    assert caught.value.hint


def test_every_httpx_error_is_mapped() -> None:
    """Whatever httpx may raise in transport is one of the classes that are mapped above, by inheritance."""
    for name in httpx.__all__:
        item = getattr(httpx, name)
        if isinstance(item, type) and issubclass(item, Exception):
            mapped = issubclass(item, (httpx.HTTPError, httpx.InvalidURL))
            # Cookies are not used, and streams are read once, by this package alone.
            assert mapped or issubclass(item, (httpx.CookieConflict, httpx.StreamError)), name


@pytest.mark.parametrize(("status", "body", "expected"), STATUSES)
def test_problem_documents(status: int, body: dict[str, Any], expected: type[SlicebankError]) -> None:
    problem = {"detail": "Because.", "request_id": "r1", **body}
    with answering(lambda _: httpx.Response(status, json=problem)) as client, pytest.raises(expected) as caught:
        client.jobs.get("a")
    error = caught.value
    assert type(error) is expected
    assert isinstance(error, errors.ApiError)
    assert (str(error), error.status, error.request_id) == ("Because.", status, "r1")
    assert error.code == body.get("code", f"http_{status}")


def test_every_api_error_class_is_reachable() -> None:
    reached = {type(api_error(status, body)) for status, body, _ in STATUSES}
    classes = {item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.ApiError)}
    assert classes - {errors.ApiError} == reached


@pytest.mark.parametrize("content", [b"<html>Bad gateway</html>", b"", b"[1]", b"\xff\xfe"])
def test_errors_that_are_no_problem_documents(content: bytes) -> None:
    with (
        answering(lambda _: httpx.Response(502, content=content)) as client,
        pytest.raises(errors.ServerFault) as caught,
    ):
        client.jobs.get("a")
    assert "502" in str(caught.value)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"job_id": "a"}),
        httpx.Response(200, json={"job_id": "a", "kind": "embed", "state": "sleeping"}),
        httpx.Response(200, json={"job_id": 7, "kind": "embed", "state": "queued"}),
        httpx.Response(200, content=b""),
        httpx.Response(307, headers={"location": "http://elsewhere"}),
    ],
)
def test_answers_that_are_not_slicebanks(response: httpx.Response) -> None:
    with answering(lambda _: response) as client, pytest.raises(errors.UnexpectedAnswer):
        client.jobs.get("a")


def test_not_ready_names_the_job() -> None:
    assert errors.NotReady("", status=404, code="bag_not_ready", problem={"job_id": "j"}).job_id == "j"
    assert errors.NotReady("", status=404, code="bag_not_ready", problem={"job": {"job_id": "j"}}).job_id == "j"
    assert errors.NotReady("", status=404, code="bag_not_ready").job_id is None


def test_the_key_travels_in_the_header_alone(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/encoders", {"items": []})
    assert list(client.encoders.list()) == []
    [request] = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(request.query)


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url, KEY, timeout=2) as client, pytest.raises(errors.ConnectionFailed) as caught:
            client.encoders.get("x")
    assert "slicebank serve" in caught.value.hint
    assert url in str(caught.value)


@pytest.mark.parametrize("url", ["http://", "http://[", "ftp://host", "http://host:99999"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(errors.ConnectionFailed) as caught:
        Client(url, KEY).ready()
    assert caught.value.hint


@pytest.mark.parametrize("identifier", ["", " ", ".", ".."])
def test_identifiers_that_are_none(client: Client, identifier: str) -> None:
    with pytest.raises(errors.InputError):
        client.bags.get(identifier)


def test_identifiers_stay_one_part_of_the_path(client: Client, server: SpeakingServer) -> None:
    with pytest.raises(errors.NotFound):
        client.series.get("a/../b?c#d")
    assert server.requests[0].path == "/v1/series/a/../b?c#d"
    assert server.requests[0].query == {}
