"""What an API process counts of itself, for Prometheus (docs/metrics.md). Labels are words from closed sets, never identifiers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from slicebank_imaging.errors import ImagingError
from slicebank_models.errors import ModelsError
from slicebank_service.errors import ServiceError
from slicebank_store.catalogue.backlog import QueueDepth
from slicebank_store.errors import StoreError

# From a cached answer to the headers of 2,000 files.
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
# Several scrapers, or one that is impatient, cost one query.
_KEEP_S = 2.0


class ServiceMetrics:
    """The metrics of one application, in a registry of their own.

    Attributes:
        requests: requests answered, by method, route pattern and status.
        seconds: how long they took, without what they were asked to wait.
        received: bytes of their bodies, by route pattern.
        connections: to the catalogue's database, in use now.
        long_polls: requests that wait for jobs.
        streams: open event streams.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers everything; nothing is counted yet.

        Args:
            registry: empty, and of this application alone.
        """
        self.registry = registry
        by_route = ("method", "route")
        self.requests = Counter(
            "slicebank_http_requests", "Requests answered.", (*by_route, "status"), registry=registry
        )
        self.seconds = Histogram(
            "slicebank_http_request_seconds",
            "Time of requests, without what they were asked to wait for jobs.",
            by_route,
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.received = Counter(
            "slicebank_http_received_bytes", "Bytes of request bodies.", by_route, registry=registry
        )
        self._accepted = Counter("slicebank_uploads_accepted", "Uploads taken in.", registry=registry)
        self._refused = Counter(
            "slicebank_uploads_refused", "Uploads refused as a whole.", ("code",), registry=registry
        )
        self.predictions = Counter(
            "slicebank_predictions_asked", "Questions to heads about single cases.", ("how",), registry=registry
        )
        self.long_polls = Gauge("slicebank_long_polls", "Requests that wait for jobs.", registry=registry)
        self.connections = Gauge(
            "slicebank_catalogue_connections_in_use",
            "Database connections of this process that a transaction holds now.",
            registry=registry,
        )
        self.streams = Gauge("slicebank_event_streams", "Open event streams of jobs.", registry=registry)

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Counts the upload that is taken in inside, or why it is not."""
        with self.refusals():
            yield
        self._accepted.inc()

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Counts why the upload that begins inside is refused, if it is."""
        try:
            yield
        except (ServiceError, StoreError, ImagingError, ModelsError) as error:
            self._refused.labels(error.code).inc()
            raise
        except Exception:
            self._refused.labels("internal_error").inc()
            raise


class StoreCollector(Collector):
    """What the service would have to ask for: queue, staging and disks, asked when Prometheus asks, and kept for two seconds."""

    def __init__(
        self,
        depths: Callable[[], Iterable[QueueDepth]],
        staged_bytes: Callable[[], int],
        free_bytes: Callable[[], Mapping[str, int]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Asks nothing yet.

        Args:
            depths: counts unfinished jobs; raises StoreError while the catalogue is away.
            staged_bytes: bytes of uploads in staging.
            free_bytes: bytes left on the disks, by what lies there.
            clock: seconds since 1970.
        """
        self._depths = depths
        self._staged_bytes = staged_bytes
        self._free_bytes = free_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._kept_at = float("-inf")

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now, or were two seconds ago."""
        with self._lock:
            if time.monotonic() - self._kept_at >= _KEEP_S:
                self._kept = self._ask()
                self._kept_at = time.monotonic()
            return self._kept

    def describe(self) -> Iterable[Metric]:
        """The metrics without values: registering must not need the catalogue."""
        return self._families()

    def _ask(self) -> list[Metric]:
        up, jobs, oldest, staging, free = self._families()
        try:
            depths = list(self._depths())
        except StoreError:
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
            for depth in depths:
                labels = [depth.kind.value, depth.priority.value, depth.state.value]
                jobs.add_metric(labels, depth.jobs)
                oldest.add_metric(labels, max(0.0, self._clock() - depth.oldest_at))
        staging.add_metric([], self._staged_bytes())
        for what, size in self._free_bytes().items():
            free.add_metric([what], size)
        return [up, jobs, oldest, staging, free]

    def _families(self) -> tuple[GaugeMetricFamily, ...]:
        by_queue = ("kind", "priority", "state")
        return (
            GaugeMetricFamily("slicebank_catalogue_up", "Whether the catalogue answers: 1, or 0."),
            GaugeMetricFamily(
                "slicebank_queue_jobs", "Unfinished jobs of all projects; what is 0 is left out.", labels=by_queue
            ),
            GaugeMetricFamily(
                "slicebank_queue_oldest_seconds", "Age of the oldest of these jobs since it was made.", labels=by_queue
            ),
            GaugeMetricFamily("slicebank_staging_bytes", "Bytes of uploads in staging, of all projects."),
            GaugeMetricFamily(
                "slicebank_disk_free_bytes", "Bytes left on the disks that must not fill up.", labels=("disk",)
            ),
        )
