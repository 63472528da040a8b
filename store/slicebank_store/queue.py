"""The queue between service and workers: Celery messages that carry a job id and nothing else."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import redis
import structlog
from redis.exceptions import RedisError

from slicebank_store.errors import QueueUnavailable
from slicebank_store.notify import connect_options, redis_url
from slicebank_store.types import JobKind, Priority

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["HURRY_CHANNEL", "CeleryQueue", "QueueUnavailable", "TaskQueue", "make_celery", "task_name"]

log = structlog.get_logger()

HURRY_CHANNEL = "slicebank:hurry"
"""Ids of jobs whose workers should look at the catalogue now."""

# Redis has no priorities: Celery keeps one list a step, and workers empty the lower number first.
_PRIORITIES = {Priority.INTERACTIVE: 0, Priority.BULK: 9}

# Seconds until Redis gives an unacknowledged message to another worker. It must exceed the lease (15 s), or live jobs
# are announced twice; recovery does not wait for it, the sweeper re-sends by the ledger.
_VISIBILITY_TIMEOUT_S = 3600

PRODUCER_TIMEOUT_S = 2.0
"""A request handler waits for a silent broker at most twice this long; the sweeper sends the message later."""


class TaskQueue(Protocol):
    """Where job ids are handed to workers."""

    def dispatch(self, kind: JobKind, job_id: str, priority: Priority = Priority.BULK) -> None:
        """Sends the message "look at job X"; sending it twice does no harm.

        Args:
            kind: decides the queue.
            job_id: the job.
            priority: of this message; the default suits messages sent again.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        ...

    def waiting(self, queue: str) -> int:
        """Messages of a queue that no worker has fetched.

        Args:
            queue: `JobKind.queue`.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        ...

    def hurry(self, job_id: str) -> None:
        """Has whoever works on a job look at the catalogue now: its end was asked for.

        Without effect where the broker is away: the worker's next heartbeat, seconds later, tells it too.
        """
        ...


def task_name(kind: JobKind) -> str:
    """Name of the Celery task that runs a kind of job."""
    return f"slicebank.{kind.queue}"


def make_celery(broker_url: str) -> Celery:
    """A Celery application with the settings that service and workers share.

    Args:
        broker_url: redis:// or redis+socket:// URL.
    """
    # Here and below, because Celery takes long to load, and the API sends no message before its first upload.
    from celery import Celery

    app = Celery("slicebank", broker=broker_url, set_as_current=False)
    app.conf.update(
        # JSON alone: whoever can write to the broker must not be able to run code in a worker.
        task_serializer="json",
        accept_content=["json"],
        # The catalogue holds results; nothing reads Celery's.
        task_ignore_result=True,
        # A message is forgotten when its job has ended, not when it begins: a worker that dies leaves it to others.
        task_acks_late=True,
        # One message a thread: a worker must not hoard jobs that another could start.
        worker_prefetch_multiplier=1,
        # A broker that comes back finds its workers waiting.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A held job goes on while the broker is away: its lease is in the catalogue.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Remote control would let anybody on the broker stop workers, and costs two connections each.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        # The process that builds the application sets logging up.
        worker_hijack_root_logger=False,
        broker_transport_options={
            "visibility_timeout": _VISIBILITY_TIMEOUT_S,
            "priority_steps": sorted(_PRIORITIES.values()),
        },
    )
    return app


class CeleryQueue:
    """Sends messages through a broker. Any thread may call it."""

    def __init__(self, broker_url: str, *, timeout_s: float = PRODUCER_TIMEOUT_S) -> None:
        """Prepares to connect at the first message.

        Args:
            broker_url: redis:// or redis+socket:// URL.
            timeout_s: how long a broker may be silent; a message is tried twice.
        """
        self._broker_url = broker_url
        self._timeout_s = timeout_s

    def dispatch(self, kind: JobKind, job_id: str, priority: Priority = Priority.BULK) -> None:
        """Sends the message "look at job X"; sending it twice does no harm.

        Args:
            kind: decides the queue.
            job_id: the job.
            priority: of this message; the default suits messages sent again.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        from kombu.exceptions import KombuError

        try:
            self._app.send_task(
                task_name(kind), args=[job_id], queue=kind.queue, priority=_PRIORITIES[priority], retry=False
            )
        except (KombuError, RedisError, OSError) as error:
            msg = (
                f"The broker does not answer ({type(error).__name__}): job {job_id} is queued and sent when it is back."
            )
            raise QueueUnavailable(msg) from error

    def waiting(self, queue: str) -> int:
        """Messages of a queue that no worker has fetched.

        Args:
            queue: `JobKind.queue`.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        # As Kombu's Redis transport names its lists: one a priority step, the first without a suffix.
        names = [queue if step == 0 else f"{queue}\x06\x16{step}" for step in _PRIORITIES.values()]
        try:
            return sum(int(self._client.llen(name)) for name in names)
        except (RedisError, OSError) as error:
            msg = f"The broker does not answer ({type(error).__name__}): nobody knows what waits there."
            raise QueueUnavailable(msg) from error

    def hurry(self, job_id: str) -> None:
        """Has whoever works on a job look at the catalogue now: its end was asked for.

        Without effect where the broker is away: the worker's next heartbeat, seconds later, tells it too.
        """
        try:
            self._client.publish(HURRY_CHANNEL, job_id)
        except (RedisError, OSError) as error:
            log.warning("hurry_not_sent", job_id=job_id, reason=type(error).__name__)

    def close(self) -> None:
        """Closes the connections."""
        if "_client" in self.__dict__:
            self._client.close()
        if "_app" in self.__dict__:
            self._app.close()

    @cached_property
    def _client(self) -> Any:
        return redis.Redis.from_url(
            redis_url(self._broker_url),
            socket_timeout=self._timeout_s,
            **connect_options(self._broker_url, self._timeout_s),
        )

    @cached_property
    def _app(self) -> Celery:
        app = make_celery(self._broker_url)
        app.conf.broker_transport_options = {
            **app.conf.broker_transport_options,
            "socket_connect_timeout": self._timeout_s,
            "socket_timeout": self._timeout_s,
            # Kombu's own retries while it connects; without limits it waits for ever.
            "max_retries": 1,
            "interval_start": 0.0,
            "interval_step": 0.1,
            "interval_max": 0.1,
        }
        return app
