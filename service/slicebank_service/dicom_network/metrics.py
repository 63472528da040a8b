"""What a listener counts of itself, for Prometheus (docs/metrics.md). Labels are words from closed sets, never identifiers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

log = structlog.get_logger()


class ListenerMetrics:
    """Counts associations and instances. Any thread may call it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers its metrics; nothing is counted yet."""
        self.open = Gauge("slicebank_listener_associations_open", "Associations that are open.", registry=registry)
        self._associations = Counter(
            "slicebank_listener_associations", "Associations that ended, by how.", ("outcome",), registry=registry
        )
        self._instances = Counter(
            "slicebank_listener_instances",
            "Instances that came, by their verdict: `accepted` or an error code.",
            ("code",),
            registry=registry,
        )
        self._bytes = Counter("slicebank_listener_received_bytes", "Bytes of data sets that came.", registry=registry)

    def ended(self, outcome: str) -> None:
        """Counts an association."""
        self._associations.labels(outcome).inc()

    def received(self, code: str, size: int) -> None:
        """Counts an instance.

        Args:
            code: its verdict.
            size: bytes of its data set.
        """
        self._instances.labels(code).inc()
        self._bytes.inc(size)


@contextmanager
def metrics_served(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Answers Prometheus while inside, on a thread of its own; port 0 answers nobody."""
    if port == 0:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        # Studies matter more.
        log.warning("metrics_not_served", host=host, port=port, reason=error.strerror or type(error).__name__)
        yield
        return
    log.info("metrics_served", host=host, port=port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
