"""What happens to every request before a route sees it: an id, the key, a bound on its body; and to every crash after it."""

from __future__ import annotations

import hmac
import re
import time
import uuid
from collections.abc import Collection

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slicebank_service.errors import BodyTooLarge, Unauthorized
from slicebank_service.metrics import ServiceMetrics
from slicebank_service.problems import FRAMEWORK_CODES, HTTP_STATUS, problem

log = structlog.get_logger()

# Answers without a key: state only, so that a load balancer needs none.
OPEN_PATHS = frozenset({"/health", "/ready"})

# What machines ask every few seconds is logged for those alone who want everything.
QUIET_PATHS = OPEN_PATHS | {"/metrics"}

UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_VERSION = "/v1"

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class RequestIds:
    """Gives each request an id (the client's own X-Request-ID where it is a plain one), logs and counts the request, and turns a crash into a problem."""

    def __init__(self, app: ASGIApp, *, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = received = 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, counting_receive, send_with_id)
            except Exception:
                log.exception("request_crashed", method=scope["method"], route=_route(scope))
                if status:  # the answer is under way: only a broken connection can still tell the client
                    raise
                answer = problem(
                    request_id,
                    FRAMEWORK_CODES["internal_error"],
                    "internal_error",
                    f"something went wrong here; the log names it under request {request_id}",
                )
                await answer(scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                self._count(scope, status, seconds, received)
                say = log.debug if scope["path"] in QUIET_PATHS else log.info
                code = {"code": scope["state"]["code"]} if "code" in scope["state"] else {}
                say(
                    "request",
                    method=scope["method"],
                    route=_route(scope),
                    status=status,
                    seconds=round(seconds, 4),
                    **code,
                )

    def _count(self, scope: Scope, status: int, seconds: float, received: int) -> None:
        route = _route(scope)
        # A method may be whatever word the client made up.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(max(0.0, seconds - scope["state"].get("waited_s", 0.0)))
        if received:
            self._metrics.received.labels(method, route).inc(received)


class Keys:
    """Lets in who carries the key of the project or of administrators, and notes which in the request's state as `admin`.

    Everything needs one but `OPEN_PATHS`, so that a route added later is closed until somebody opens it.
    """

    def __init__(self, app: ASGIApp, *, api_key: str, admin_key: str) -> None:
        self._app = app
        self._api_key = api_key.encode()
        self._admin_key = admin_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request (ASGI)."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        given = key.strip().encode("latin-1", "replace")
        # All are compared whatever their length, in a time that tells nothing of the keys.
        admin = hmac.compare_digest(given, self._admin_key)
        known = hmac.compare_digest(given, self._api_key) or admin
        if scheme.lower() == "bearer" and known:
            scope.setdefault("state", {})["admin"] = admin
            await self._app(scope, receive, send)
            return
        what = "the key of this request is not ours" if scheme else "this request carries no key"
        detail = f"{what}; send `Authorization: Bearer KEY` (`slicebank serve` keeps the key in client.json of its data folder)"
        answer = problem(
            scope["state"]["request_id"],
            HTTP_STATUS[Unauthorized.code],
            Unauthorized.code,
            detail,
            headers=Unauthorized(detail).headers,
        )
        await answer(scope, receive, send)


class BodyLimit:
    """Bounds the body of every request but uploads, which stream and count for themselves."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, streaming: Collection[tuple[str, str]]) -> None:
        """Wraps an application.

        Args:
            app: what comes next.
            max_bytes: of a body that is gathered.
            streaming: methods, and patterns of whole paths, of what counts for itself.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._streaming = tuple((method, re.compile(path)) for method, path in streaming)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request (ASGI)."""
        if scope["type"] != "http" or self._streams(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        # A route that takes JSON holds the whole body anyway, so it is gathered here, where too much can still be refused cleanly.
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
            if size > self._max_bytes:
                detail = f"the body is larger than the {self._max_bytes} bytes taken here"
                answer = problem(
                    scope["state"]["request_id"], HTTP_STATUS[BodyTooLarge.code], BodyTooLarge.code, detail
                )
                await answer(scope, receive, send)
                return
        body: bytes | None = b"".join(chunks)

        async def replay() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            message: Message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        await self._app(scope, replay, send)

    def _streams(self, method: str, path: str) -> bool:
        return any(method == known and pattern.fullmatch(path) for known, pattern in self._streaming)


def _route(scope: Scope) -> str:
    # The pattern, not the path: paths carry identifiers.
    pattern: str = getattr(scope.get("route"), "path", UNMATCHED)
    # Some versions of FastAPI leave out the prefix under which a router was included.
    missing = pattern != UNMATCHED and scope["path"].startswith(_VERSION) and not pattern.startswith(_VERSION)
    return _VERSION + pattern if missing else pattern
