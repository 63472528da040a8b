"""An HTTP server that reads bodies and does nothing with them: what the web server alone costs. `python -m benchmarks.discarding PORT`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]


async def discard(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answers 200 when the whole body has come (ASGI)."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"13")]})
    await send({"type": "http.response.body", "body": b'{"series":[]}'})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(discard, port=int(sys.argv[1]), log_level="error")
