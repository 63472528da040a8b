"""Hearing at once that a job's end was asked for, so that it ends with the batch in hand and not with the next heartbeat."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import redis
import redis.backoff
import redis.retry
import structlog

from slicebank_store.notify import connect_options, redis_url
from slicebank_store.queue import HURRY_CHANNEL

log = structlog.get_logger()

# How long the thread may notice neither its end nor a dead connection.
_TIMEOUT_S = 1.0


class Hurrier:
    """A thread that listens while inside. Best effort: while the broker is away, heartbeats bring the same news."""

    def __init__(self, broker_url: str, renew: Callable[[str], None]) -> None:
        """Prepares the thread; it starts on entering.

        Args:
            broker_url: redis:// or redis+socket:// URL.
            renew: renews the lease of a job at once, if it is held here.
        """
        self._broker_url = broker_url
        self._renew = renew
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hurrier", daemon=True)

    def __enter__(self) -> Hurrier:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        silent = False
        while not self._ended.is_set():
            client: Any = redis.Redis.from_url(
                redis_url(self._broker_url),
                socket_timeout=2 * _TIMEOUT_S,
                # This loop tries again by itself, and has to notice its end meanwhile.
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
                **connect_options(self._broker_url, _TIMEOUT_S),
            )
            try:
                with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    pubsub.subscribe(HURRY_CHANNEL)
                    while not self._ended.is_set():
                        message = pubsub.get_message(timeout=_TIMEOUT_S)
                        silent = False
                        if message is not None:
                            self._renew(message["data"].decode())
            except (redis.RedisError, OSError) as error:
                if not silent:  # once an outage
                    log.warning("hurrier_interrupted", reason=type(error).__name__)
                silent = True
                self._ended.wait(_TIMEOUT_S)
            finally:
                client.close()
