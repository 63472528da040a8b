"""The worker board: what each living worker says of itself, kept by the broker and forgotten when the worker falls silent.

Nothing here is a record: the catalogue knows what was done, the board only who is at work and how busy.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

import redis
import redis.backoff
import redis.retry
import structlog
from pydantic import TypeAdapter, ValidationError

from slicebank_store.errors import QueueUnavailable
from slicebank_store.notify import connect_options, redis_url

log = structlog.get_logger()

BoundBy = Literal["device", "decode", "idle"]
"""What holds a worker back: its device, its decoding threads, or that there is nothing to do."""

KEY_PREFIX = "slicebank:worker:"

# Several reports of a worker may be lost before it is held for dead, and a killed one is gone soon.
_EXPIRE_S = 15.0
# Connecting takes as long again at most.
_TIMEOUT_S = 0.5
# After a failure nothing is tried for this long, so that an outage costs little; shorter than the expiry.
_PAUSE_S = 5.0
# Keys a step of SCAN looks at: a broker of our own holds a few dozen, one that is shared may hold many.
_SCAN_COUNT = 1000


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker says of itself. Times are unix seconds of its own clock; rates and shares are over its last window.

    Attributes:
        name: host, role and process id, as in leases.
        role: embed, train or predict.
        device: what it encodes on, such as cpu or cuda:0; None where it encodes nothing.
        started_at: when the process began.
        seen_at: when it said this.
        jobs: jobs in hand.
        encoders: ids of the encoders in its memory.
        lacking: ids of encoders that jobs asked it for and whose weights it does not have.
        rows_total: rows encoded since it started.
        rows_per_second: rows encoded a second.
        window_s: length of the window, seconds.
        utilisation: share of the window in which the device was encoding, 0 to 1, the mean over its runners.
        decode_share: share of its decoding threads' time that was used, 0 to 1.
        batch_rows: rows of a full batch now, by encoder.
        bound_by: what held it back; None where it cannot be said.
    """

    name: str
    role: str
    device: str | None
    started_at: float
    seen_at: float
    jobs: int = 0
    encoders: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    rows_total: int = 0
    rows_per_second: float = 0.0
    window_s: float = 0.0
    utilisation: float | None = None
    decode_share: float | None = None
    batch_rows: dict[str, int] = field(default_factory=dict)
    bound_by: BoundBy | None = None


_STATUS = TypeAdapter(WorkerStatus)


class WorkerBoard:
    """Where a worker tells of itself. Best effort: a broker that is away costs a log line and nothing else. Any thread may call it."""

    def __init__(self, broker_url: str, *, expire_s: float = _EXPIRE_S, timeout_s: float = _TIMEOUT_S) -> None:
        """Prepares to connect at the first post.

        Args:
            broker_url: redis:// or redis+socket:// URL.
            expire_s: a status that is not posted again is forgotten after this.
            timeout_s: how long connecting, and answering, may take.
        """
        self._client = _client(broker_url, timeout_s)
        self._expire_ms = max(1, round(expire_s * 1000))
        self._silent_until = 0.0

    def post(self, status: WorkerStatus) -> None:
        """Puts a status in the place of the worker's last one."""
        self._try(
            status.name, self._client.set, KEY_PREFIX + status.name, _STATUS.dump_json(status), px=self._expire_ms
        )

    def withdraw(self, name: str) -> None:
        """Takes a worker off the board at once; without it, it would be shown until its status expires."""
        self._try(name, self._client.delete, KEY_PREFIX + name)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _try(self, name: str, command: Any, *arguments: Any, **options: Any) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            command(*arguments, **options)
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            log.warning("worker_status_lost", worker=name, reason=type(error).__name__)


def read_workers(broker_url: str, *, timeout_s: float = _TIMEOUT_S) -> list[WorkerStatus]:
    """What the living workers last said, by role and name; one that died without a word is among them until its status expires.

    Args:
        broker_url: redis:// or redis+socket:// URL.
        timeout_s: how long connecting, and each answer, may take.

    Raises:
        QueueUnavailable: the broker does not answer.
    """
    client = _client(broker_url, timeout_s)
    try:
        # SCAN may give a key twice.
        keys = sorted(set(client.scan_iter(match=f"{KEY_PREFIX}*", count=_SCAN_COUNT)))
        texts = client.mget(keys) if keys else []
    except (redis.RedisError, OSError) as error:
        msg = (
            f"The broker does not answer ({type(error).__name__}), and it alone knows which workers run: "
            "try again in a moment."
        )
        raise QueueUnavailable(msg) from error
    finally:
        client.close()
    found = [status for key, text in zip(keys, texts, strict=True) if (status := _read(key, text)) is not None]
    return sorted(found, key=lambda status: (status.role, status.name))


def _read(key: bytes, text: bytes | None) -> WorkerStatus | None:
    if text is None:  # expired between the two questions
        return None
    try:
        return _STATUS.validate_json(text)
    except ValidationError as error:
        # A worker of another version, or somebody else's key: the others are shown all the same.
        log.warning("worker_status_unreadable", key=key.decode(errors="replace"), errors=error.error_count())
        return None


def _client(broker_url: str, timeout_s: float) -> Any:
    return redis.Redis.from_url(
        redis_url(broker_url),
        socket_timeout=timeout_s,
        # The next report comes soon, and redis-py's own retries would make a caller wait several timeouts.
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        **connect_options(broker_url, timeout_s),
    )
