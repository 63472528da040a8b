"""HTTP with slicebank's manners: the key in a header, problem documents as exceptions, JSON objects as answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from slicebank.errors import ConnectionFailed, RequestTimedOut, SlicebankError, UnexpectedAnswer, api_error
from slicebank.retrying import Retrier, Retries
from slicebank.settings import Connection

# Reading the headers of a request of 2,000 files takes a server some 20 s on a busy disk; ten times that is patience.
UPLOAD_ANSWER_SECONDS = 300.0
CONNECT_SECONDS = 10.0

T = TypeVar("T")

Query = Mapping[str, str | int | float | bool | None]


class Transport:
    """One connection pool to one server; safe to share between threads."""

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float,
        transport: httpx.BaseTransport | None = None,
        retrier: Retrier | None = None,
    ) -> None:
        self.connection = connection
        self.timeout = timeout
        self._retrier = retrier or Retrier(Retries())
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

    def get(
        self, path: str, query: Query | None = None, *, patience: float = 0.0, known: bool = False
    ) -> dict[str, Any]:
        """GET a JSON object.

        Args:
            path: below the server's address.
            query: what is None is left out.
            patience: seconds added to the timeout, for long polls.
            known: the server must have been there before, so that its absence is waited out from the first request on.
        """
        return self.send("GET", path, query=query, timeout=self.timeout + patience, known=known)

    def get_once(self, path: str) -> dict[str, Any]:
        """GET a JSON object and take the first answer, whatever it is."""
        with self._mapped():
            response = self._http.get(path)
        return json_object(_checked(response))

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        timeout: float | None = None,
        repeatable: bool | None = None,
        known: bool = False,
    ) -> dict[str, Any]:
        """Send a JSON body (or none) and return the JSON object of the answer; an answer without content is empty.

        Args:
            method: of HTTP.
            path: below the server's address.
            query: what is None is left out.
            body: JSON; None for none.
            timeout: seconds; the client's own by default.
            repeatable: sending it twice is as good as once; by default that of GET and DELETE is.
            known: as of `get`.

        Raises:
            ApiError: the server refused.
            ConnectionFailed, RequestTimedOut, UnexpectedAnswer: no usable answer.
        """

        def attempt(_: int) -> dict[str, Any]:
            with self._mapped():
                response = self._http.request(
                    method, path, params=_clean(query), json=body, timeout=self._timeouts(timeout or self.timeout)
                )
            return json_object(_checked(response))

        by_method = method in ("GET", "DELETE")
        return self._retrier.run(attempt, repeatable=by_method if repeatable is None else repeatable, known=known)

    def send_stream(
        self,
        path: str,
        content: Callable[[], Iterable[bytes]],
        *,
        length: int,
        content_type: str,
        query: Query | None = None,
    ) -> dict[str, Any]:
        """POST bytes as they are made; memory stays that of one chunk.

        Args:
            path: below the server's address.
            content: makes the bytes, from the beginning each time, because a body that was refused is sent again.
            length: of the body, bytes.
            content_type: of the body.
            query: what is None is left out.
        """
        timeouts = self._upload_timeouts()

        def attempt(tries: int) -> dict[str, Any]:
            if tries:
                self._ask_for_admission(path, query, content_type)
            with self._mapped():
                response = self._http.post(
                    path,
                    params=_clean(query),
                    content=content(),
                    headers={"Content-Type": content_type, "Content-Length": str(length)},
                    timeout=timeouts,
                )
            return json_object(_checked(response))

        return self._retrier.run(attempt, repeatable=True)

    def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        content: Iterable[bytes] | None = None,
        query: Query | None = None,
    ) -> httpx.Response:
        """Makes one request and takes its answer, of any kind that is not an error; nothing is tried again.

        Args:
            method: of HTTP.
            path: below the server's address.
            headers: beside the client's own.
            content: the body; made as it is sent.
            query: what is None is left out.

        Raises:
            ApiError, ConnectionFailed, RequestTimedOut, UnexpectedAnswer: as of `send`.
        """
        with self._mapped():
            response = self._http.request(
                method,
                path,
                params=_clean(query),
                content=content,
                headers=dict(headers),
                timeout=self._timeouts(self.timeout) if content is None else self._upload_timeouts(),
            )
        return _checked(response)

    def patiently(self, attempt: Callable[[int], T], *, known: bool = True) -> T:
        """Runs `exchange`s that may be repeated, again and again where that may help; given the number of tries before it."""
        return self._retrier.run(attempt, repeatable=True, known=known)

    def _ask_for_admission(self, path: str, query: Query | None, content_type: str) -> None:
        """Sends an empty body, which is refused at once for what would refuse a full one, before gigabytes are sent again in vain."""
        with self._mapped():
            response = self._http.post(
                path, params=_clean(query), content=b"", headers={"Content-Type": content_type, "Content-Length": "0"}
            )
        # Of an empty body itself the server says 400.
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise error_of(response)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
        query: Query | None = None,
        accept: str = "*/*",
        idle_seconds: float | None = None,
    ) -> Iterator[httpx.Response]:
        """Asks for a body piece by piece, where asking twice is as good as once.

        Args:
            path: below the server's address.
            method: of HTTP.
            body: sent as JSON.
            query: what is None is left out.
            accept: media types taken.
            idle_seconds: the longest silence between two pieces.
        """
        timeouts = self._timeouts(idle_seconds or self.timeout)
        with ExitStack() as stack:

            def attempt(_: int) -> httpx.Response:
                with self._mapped(), ExitStack() as opened:
                    response = opened.enter_context(
                        self._http.stream(
                            method, path, params=_clean(query), json=body, headers={"Accept": accept}, timeout=timeouts
                        )
                    )
                    if response.is_error:
                        response.read()
                    _checked(response)
                    stack.enter_context(opened.pop_all())
                    return response

            response = self._retrier.run(attempt, repeatable=True)
            with self._mapped():
                yield response

    def get_bytes(
        self, path: str, *, accept: str, query: Query | None = None, given: bytes | None = None, given_type: str = ""
    ) -> bytes:
        """Have a small body, such as a picture, made, and read it whole.

        Args:
            path: below the server's address.
            accept: what is wanted.
            query: what is None is left out.
            given: what it is made of, which is sent by POST; None for a GET.
            given_type: content type of that.
        """
        headers = {"Accept": accept} if given is None else {"Accept": accept, "Content-Type": given_type}

        def attempt(_: int) -> bytes:
            with self._mapped():
                response = self._http.request(
                    "GET" if given is None else "POST", path, headers=headers, params=_clean(query), content=given
                )
            return _checked(response).content

        return self._retrier.run(attempt, repeatable=True)

    def _timeouts(self, seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))

    def _upload_timeouts(self) -> httpx.Timeout:
        return httpx.Timeout(
            connect=CONNECT_SECONDS,
            write=max(self.timeout, 60.0),
            read=max(self.timeout, UPLOAD_ANSWER_SECONDS),
            pool=self.timeout,
        )

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
                reached=True,
            ) from error
        except httpx.HTTPError as error:
            raise ConnectionFailed(f"The connection to {url} broke ({type(error).__name__}).", reached=True) from error


def error_of(response: httpx.Response) -> SlicebankError:
    """Turn an error answer into its exception, whether or not it is a problem document."""
    named = response.headers.get("retry-after", "")
    retry_after = float(named) if named.isascii() and named.isdigit() else None
    try:
        problem = response.json()
    except (ValueError, UnicodeDecodeError):
        problem = None
    if isinstance(problem, Mapping):
        return api_error(response.status_code, problem, retry_after)
    where = f"{response.request.method} {response.request.url.path}"
    return api_error(
        response.status_code,
        {"detail": f"{where} was answered with status {response.status_code} {response.reason_phrase}."},
        retry_after,
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


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; one without content is empty."""
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
