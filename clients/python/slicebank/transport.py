"""HTTP with slicebank's manners: the key in a header, problem documents as exceptions, JSON objects as answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from slicebank.errors import ConnectionFailed, RequestTimedOut, SlicebankError, UnexpectedAnswer, api_error
from slicebank.settings import Connection

# Reading the headers of a request of 2,000 files takes a server some 20 s on a busy disk; ten times that is patience.
UPLOAD_ANSWER_SECONDS = 300.0
CONNECT_SECONDS = 10.0

Query = Mapping[str, str | int | float | bool | None]


class Transport:
    """One connection pool to one server; safe to share between threads."""

    def __init__(self, connection: Connection, *, timeout: float, transport: httpx.BaseTransport | None = None) -> None:
        self.connection = connection
        self.timeout = timeout
        headers = {"Accept": "application/json", "User-Agent": "slicebank-client"}
        if connection.api_key:
            headers["Authorization"] = f"Bearer {connection.api_key}"
        try:
            self._http = httpx.Client(
                base_url=connection.url,
                headers=headers,
                timeout=httpx.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout)),
                transport=transport,
                # A proxy of the environment cannot reach this machine's own loopback addresses.
                trust_env=not _is_loopback(connection.url),
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError) as error:
            raise ConnectionFailed(
                f"{connection.url!r} is not an address ({error}).", hint="Give one like http://127.0.0.1:8000."
            ) from error

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    def get(self, path: str, query: Query | None = None, *, patience: float = 0.0) -> dict[str, Any]:
        """GET a JSON object; `patience` seconds are added to the timeout, for long polls."""
        return self.send("GET", path, query=query, timeout=self.timeout + patience)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Send a JSON body (or none) and return the JSON object of the answer; an answer without content is empty.

        Raises:
            ApiError: the server refused.
            ConnectionFailed, RequestTimedOut, UnexpectedAnswer: no usable answer.
        """
        with self._mapped():
            response = self._http.request(
                method, path, params=_clean(query), json=body, timeout=self._timeouts(timeout or self.timeout)
            )
        return _json_object(_checked(response))

    def send_stream(
        self, path: str, content: Iterable[bytes], *, length: int, content_type: str, query: Query | None = None
    ) -> dict[str, Any]:
        """POST bytes as they are made; memory stays that of one chunk."""
        timeouts = httpx.Timeout(
            connect=CONNECT_SECONDS,
            write=max(self.timeout, 60.0),
            read=max(self.timeout, UPLOAD_ANSWER_SECONDS),
            pool=self.timeout,
        )
        with self._mapped():
            response = self._http.post(
                path,
                params=_clean(query),
                content=content,
                headers={"Content-Type": content_type, "Content-Length": str(length)},
                timeout=timeouts,
            )
        return _json_object(_checked(response))

    @contextmanager
    def stream(
        self, path: str, *, query: Query | None = None, accept: str = "*/*", idle_seconds: float | None = None
    ) -> Iterator[httpx.Response]:
        """GET a body piece by piece; `idle_seconds` is the longest silence between two pieces."""
        timeouts = self._timeouts(idle_seconds or self.timeout)
        with (
            self._mapped(),
            self._http.stream(
                "GET", path, params=_clean(query), headers={"Accept": accept}, timeout=timeouts
            ) as response,
        ):
            if response.is_error:
                response.read()
            yield _checked(response)

    def get_bytes(self, path: str, *, accept: str) -> bytes:
        """GET a small body, such as a picture, whole."""
        with self._mapped():
            response = self._http.get(path, headers={"Accept": accept})
        return _checked(response).content

    def _timeouts(self, seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        url = self.connection.url
        try:
            yield
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                raise ConnectionFailed(f"Nobody answers at {url} (named by {self.connection.source}).") from error
            raise RequestTimedOut(f"The server at {url} did not answer in time.") from error
        except httpx.ConnectError as error:
            raise ConnectionFailed(f"Nobody answers at {url} (named by {self.connection.source}).") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ConnectionFailed(
                f"{url!r} is not an address.", hint="Give one like http://127.0.0.1:8000."
            ) from error
        except (httpx.DecodingError, httpx.RemoteProtocolError) as error:
            raise ConnectionFailed(
                f"The connection to {url} broke before the answer was complete.",
                hint="Try again; if it stays, look at the log of the server.",
            ) from error
        except httpx.HTTPError as error:
            raise ConnectionFailed(f"The connection to {url} broke ({type(error).__name__}).") from error


def error_of(response: httpx.Response) -> SlicebankError:
    """Turn an error answer into its exception, whether or not it is a problem document."""
    try:
        problem = response.json()
    except (ValueError, UnicodeDecodeError):
        problem = None
    if isinstance(problem, Mapping):
        return api_error(response.status_code, problem)
    where = f"{response.request.method} {response.request.url.path}"
    return api_error(
        response.status_code,
        {"detail": f"{where} was answered with status {response.status_code} {response.reason_phrase}."},
    )


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise error_of(response)
    if response.is_redirect:
        target = response.headers.get("location", "elsewhere")
        raise UnexpectedAnswer(
            f"The server redirects to {target}.", hint="Give that address with --url or SLICEBANK_URL if you trust it."
        )
    return response


def _json_object(response: httpx.Response) -> dict[str, Any]:
    if response.status_code == httpx.codes.NO_CONTENT or not response.content:
        return {}
    try:
        answer = json.loads(response.content)
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.request.url.path} was not answered in JSON.") from error
    if not isinstance(answer, dict):
        raise UnexpectedAnswer(f"{response.request.url.path} was not answered with a JSON object.")
    return answer


def _clean(query: Query | None) -> dict[str, str]:
    """Drop what is not set; booleans in lower case, as JSON writes them."""
    pairs = (query or {}).items()
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in pairs
        if value is not None
    }


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
