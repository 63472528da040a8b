"""Questions put straight to a predict worker over the broker, and answered while the asker waits: no job, no message, no claim.

Best effort: whoever gets no answer asks by a job, which is written down and lost by nobody. An answer's row is committed before it is
told of.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any

import redis
import redis.backoff
import redis.retry
import structlog

from slicebank_store.notify import connect_options, redis_url
from slicebank_store.types import JSON

log = structlog.get_logger()

QUESTIONS = "slicebank:questions"
# There while a worker listens; gone some seconds after the last one did.
ANSWERING = "slicebank:answering"

_CONNECT_S = 1.0
_ALIVE_S = 5
_LISTEN_S = 1.0
# After a failure nothing is asked for this long: a dead broker must not cost every question a timeout.
_PAUSE_S = 5.0

Answerer = Callable[[JSON], JSON]
"""Answers a question; an empty answer sends the asker to a job, which says what is wrong."""


class Asker:
    """Asks, of any thread; at most so many questions at a time, because the others are better off in the jobs' queue.

    Args:
        broker_url: redis:// or redis+socket:// URL.
        at_once: questions that wait at once.
        wait_s: longest wait for an answer, seconds.
    """

    def __init__(self, broker_url: str, *, at_once: int, wait_s: float) -> None:
        self._client: Any = redis.Redis.from_url(
            redis_url(broker_url),
            socket_timeout=wait_s + _CONNECT_S,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # a job is quicker than a second try
            **connect_options(broker_url, _CONNECT_S),
        )
        self._hands = threading.BoundedSemaphore(at_once)
        self._wait_s = wait_s
        self._silent_until = 0.0

    def ask(self, question: JSON) -> JSON | None:
        """Returns the answer; None where nobody listens, nobody answers in time, or the broker is away."""
        if time.monotonic() < self._silent_until or not self._hands.acquire(blocking=False):
            return None
        try:
            return self._asked(question)
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            log.warning("question_not_asked", reason=type(error).__name__)
            return None
        finally:
            self._hands.release()

    def _asked(self, question: JSON) -> JSON | None:
        if not self._client.exists(ANSWERING):
            return None
        reply = f"slicebank:answer:{uuid.uuid4().hex}"
        with self._client.pipeline() as pipe:
            pipe.lpush(QUESTIONS, json.dumps({"reply": reply, "question": question}))
            # What nobody took is not worked on when nobody waits any more.
            pipe.pexpire(QUESTIONS, int(1000 * self._wait_s))
            pipe.execute()
        found = self._client.blpop([reply], timeout=self._wait_s)
        if found is None:
            return None
        answer: JSON = json.loads(found[1])
        return answer or None

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


class Answering:
    """A thread that answers questions while inside, one after the other; on its own when the broker comes back.

    Args:
        broker_url: redis:// or redis+socket:// URL.
        answer: called on that thread; must not raise.
    """

    def __init__(self, broker_url: str, answer: Answerer) -> None:
        self._broker_url = broker_url
        self._answer = answer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answering", daemon=True)

    def __enter__(self) -> Answering:
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
                socket_timeout=_LISTEN_S + _CONNECT_S,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # this loop tries again by itself
                **connect_options(self._broker_url, _CONNECT_S),
            )
            try:
                while not self._ended.is_set():
                    client.set(ANSWERING, 1, ex=_ALIVE_S)
                    self._take_one(client)
                    silent = False
            except (redis.RedisError, OSError) as error:
                if not silent:  # once an outage
                    log.warning("answering_interrupted", reason=type(error).__name__)
                silent = True
                self._ended.wait(_CONNECT_S)
            finally:
                client.close()

    def _take_one(self, client: Any) -> None:
        taken = client.brpop([QUESTIONS], timeout=_LISTEN_S)
        if taken is None:
            return
        asked = json.loads(taken[1])
        answer = self._answer(asked["question"])
        with client.pipeline() as pipe:
            pipe.lpush(asked["reply"], json.dumps(answer))
            pipe.expire(asked["reply"], _ALIVE_S)
            pipe.execute()
