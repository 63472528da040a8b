"""What a worker process counts of itself, for Prometheus (docs/metrics.md). Labels are words from closed sets, never identifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from slicebank_store.types import JobKind
from slicebank_worker.engine.usage import Usage

log = structlog.get_logger()


class Outcome(StrEnum):
    """How a worker's hold on a job ended."""

    SUCCEEDED = "succeeded"
    NOT_COMMITTED = "not_committed"
    ATTEMPT_FAILED = "attempt_failed"
    CANCELLED = "cancelled"
    HANDED_BACK = "handed_back"
    LOST = "lost"
    POSTPONED = "postponed"


class JobMeter:
    """Counts the jobs of a worker by how they ended. Any thread may call it."""

    def __init__(self, registry: CollectorRegistry, held: Callable[[], float]) -> None:
        """Registers its metrics; nothing is counted yet.

        Args:
            registry: of this process's metrics.
            held: how many jobs are in its hands, asked when Prometheus asks.
        """
        in_hand = Gauge("slicebank_worker_jobs_in_hand", "Jobs that the worker holds.", registry=registry)
        in_hand.set_function(held)
        self._jobs = Counter(
            "slicebank_worker_jobs",
            "Jobs that left the worker's hands, by how; the code is of what failed or was lacking, else empty.",
            ("kind", "outcome", "code"),
            registry=registry,
        )
        self._stages = Counter(
            "slicebank_worker_stage_seconds",
            "Time of jobs by stage, in whatever way they ended.",
            ("kind", "stage"),
            registry=registry,
        )

    def ended(self, kind: JobKind, outcome: Outcome, stages: Mapping[str, float], *, code: str = "") -> None:
        """Counts one.

        Args:
            kind: of the job.
            outcome: how the hold ended.
            stages: seconds by stage, named like `decode_s`.
            code: error code, where one tells why.
        """
        self._jobs.labels(kind.value, outcome.value, code).inc()
        for stage, seconds in stages.items():
            self._stages.labels(kind.value, stage.removesuffix("_s")).inc(seconds)


class EngineCollector(Collector):
    """What an embed worker's engine and decoding threads have done, asked when Prometheus asks."""

    def __init__(
        self, usage: Callable[[], Usage], slices: Callable[[], int], decoding_s: Callable[[], float], threads: int
    ) -> None:
        """Asks nothing yet.

        Args:
            usage: of the engine up to now.
            slices: whose rows came back from the engine.
            decoding_s: seconds that decoding threads worked, summed over threads.
            threads: how many of them there are.
        """
        self._usage = usage
        self._slices = slices
        self._decoding_s = decoding_s
        self._threads = threads

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        usage = self._usage()
        counters = (
            ("rows", "Rows encoded.", usage.rows),
            ("slices", "Slices encoded.", self._slices()),
            ("batches", "Batches encoded.", usage.batches),
            ("device_busy_seconds", "Time devices worked, summed over runners.", usage.busy_s),
            ("memory_halvings", "Batches that were halved because the device's memory was short.", usage.halvings),
            ("decode_seconds", "Time decoding threads worked, summed over threads.", self._decoding_s()),
        )
        for name, text, value in counters:
            yield CounterMetricFamily(f"slicebank_worker_{name}", text, value=value)
        yield GaugeMetricFamily("slicebank_worker_runners", "Threads that feed devices.", value=usage.runners)
        yield GaugeMetricFamily("slicebank_worker_decode_threads", "Threads that decode.", value=self._threads)
        rows = GaugeMetricFamily(
            "slicebank_worker_batch_rows", "Rows of a full batch now, by encoder.", labels=("encoder",)
        )
        for encoder, size in usage.batch_rows.items():
            rows.add_metric([encoder], size)
        yield rows


@contextmanager
def metrics_served(registry: CollectorRegistry, host: str, port: int) -> Iterator[int | None]:
    """Answers Prometheus while inside, on a thread of its own.

    Args:
        registry: what to tell.
        host: address to listen on.
        port: 0 answers nobody.

    Yields:
        The port; None where nobody is answered, because that was asked for or because the port cannot be had: jobs matter more.
    """
    if port == 0:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        log.warning(
            "metrics_not_served",
            host=host,
            port=port,
            reason=error.strerror or type(error).__name__,
            detail="give each worker of this machine a SLICEBANK_METRICS_PORT of its own, or 0",
        )
        yield None
        return
    try:
        log.info("metrics_served", host=host, port=port)
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
