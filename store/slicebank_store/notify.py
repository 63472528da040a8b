"""News of jobs over Redis pub/sub, so that waiting clients need not poll. Best effort: the catalogue is the truth."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import structlog

from slicebank_store.types import JobState

log = structlog.get_logger()

CHANNEL = "slicebank:jobs"

_TIMEOUT_S = 1.0
# After a failure nothing is tried for this long: a dead broker must not cost every heartbeat a timeout.
_PAUSE_S = 5.0
# A subscription that hears nothing for this long asks whether the broker lives; it has as long to answer.
_PING_S = 5.0


class JobNews(NamedTuple):
    """A job changed."""

    project: str
    job_id: str
    state: JobState


def redis_url(broker_url: str) -> str:
    """The address as redis-py writes it: Celery says redis+socket:// where redis-py says unix://."""
    scheme, separator, rest = broker_url.partition("://")
    return f"unix{separator}{rest}" if scheme == "redis+socket" else broker_url


def connect_options(broker_url: str, timeout_s: float) -> dict[str, Any]:
    """How redis-py is told to connect within `timeout_s` seconds: a socket file answers or refuses at once, and it knows no timeout for it."""
    return {} if broker_url.startswith("redis+socket://") else {"socket_connect_timeout": timeout_s}


class Notifier:
    """Publishes news. Any thread may call it."""

    def __init__(self, broker_url: str) -> None:
        self._client: Any = redis.Redis.from_url(
            redis_url(broker_url), socket_timeout=_TIMEOUT_S, **connect_options(broker_url, _TIMEOUT_S)
        )
        self._silent_until = 0.0

    def publish(self, project: str, job_id: str, state: JobState) -> None:
        """Tells whoever listens that a job changed; a dead broker is logged and otherwise without effect."""
        if time.monotonic() < self._silent_until:
            return
        try:
            self._client.publish(CHANNEL, json.dumps([project, job_id, state.value]))
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            log.warning("job_news_lost", job_id=job_id, reason=type(error).__name__)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


async def subscribe(broker_url: str, *, ping_s: float = _PING_S) -> AsyncGenerator[JobNews | None, None]:
    """One subscription: None once the broker has confirmed it, then news as they come.

    Close the iterator (`aclosing`) or cancel the task that reads it to give the connection back.

    Raises:
        redis.RedisError, OSError: the broker is away, went away, or no longer answers; what is told meanwhile is missed.
    """
    client: Any = redis.asyncio.Redis.from_url(
        # Only the caller tries again, so that it knows whether the subscription stands.
        redis_url(broker_url),
        retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
        **connect_options(broker_url, _TIMEOUT_S),
    )
    try:
        pubsub = client.pubsub()
        await pubsub.subscribe(CHANNEL)
        asked = False
        while True:
            message = await pubsub.get_message(timeout=ping_s)
            if message is None:
                if asked:
                    msg = "the broker does not answer"
                    raise redis.ConnectionError(msg)
                await pubsub.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "subscribe":
                yield None
            elif message["type"] == "message":
                project, job_id, state = json.loads(message["data"])
                yield JobNews(project, job_id, JobState(state))
    finally:
        await client.aclose()
