"""A listener process, from its settings to its end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

from slicebank_models.errors import ModelsError
from slicebank_models.registry import EncoderRegistry
from slicebank_service.admission import Admission
from slicebank_service.dicom_network.listener import Listener
from slicebank_service.dicom_network.metrics import ListenerMetrics, metrics_served
from slicebank_service.dicom_network.reception import Collaborators, Reception
from slicebank_service.dicom_network.settings import DEFAULT_PORT, ListenerSettings
from slicebank_service.intake.take_in import intake_request
from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import StoreError
from slicebank_store.identity import ProjectKeys
from slicebank_store.intake import StagedBytes, Staging
from slicebank_store.intake.arrivals import Arrivals
from slicebank_store.intake.limits import upload_limits
from slicebank_store.logs import configure_logging
from slicebank_store.pseudonyms import open_pseudonyms
from slicebank_store.types import Priority

log = structlog.get_logger()

# An association that sends ends its study within seconds, or goes on another time; `slicebank serve` waits for twice as long.
_GRACE_SECONDS = 10.0
# The catalogue hears of a study once a second, not a few hundred times.
_RENEW_SECONDS = 1.0


def run(settings: ListenerSettings, *, ready: Callable[[str, int], None] = lambda _host, _port: None) -> int:
    """Listens until SIGTERM or SIGINT; gives the exit status. To be called from the main thread.

    Args:
        settings: of the listener; without a port 11112 is taken.
        ready: called with host and port once senders can connect.
    """
    configure_logging(settings.log_level)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside every counter would double what Prometheus stores
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        with ExitStack() as stack:
            catalogue = Catalogue.open(settings.resolved_catalogue_url)
            stack.callback(catalogue.close)
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            stack.enter_context(metrics_served(registry, settings.listen_metrics_host, settings.listen_metrics_port))
            listener = stack.enter_context(listening(settings, catalogue, registry))
            ready(*listener.address)
            stop.wait()
    except (StoreError, ModelsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The listener cannot be started: {error.strerror or type(error).__name__}.\n")
        return 1
    return 0


@contextmanager
def listening(settings: ListenerSettings, catalogue: Catalogue, registry: CollectorRegistry) -> Iterator[Listener]:
    """Listens while inside.

    Args:
        settings: of the listener.
        catalogue: stays the caller's to close.
        registry: takes the listener's metrics.

    Raises:
        StoreError: the project has other policies, or the catalogue is away.
        ModelsError: the encoder of arriving studies cannot be used.
        OSError: the port cannot be had.
    """
    card = EncoderRegistry(settings.resolved_encoders_dir).get(settings.intake_encoder)
    staging = Staging(settings.resolved_staging_dir)
    catalogue.projects.settle(settings.project, uids=settings.uid_policy, patients=settings.patient_policy)
    shared = Collaborators(
        staging=staging,
        arrivals=Arrivals(catalogue, staging, settings.project, quiet_s=settings.quiet_seconds),
        admission=Admission(settings, catalogue, StagedBytes(staging.root), {"staging": staging.root}),
        pseudonyms=open_pseudonyms(catalogue.projects, ProjectKeys(settings.resolved_keys_dir), settings.project),
        limits=upload_limits(settings),
        request=intake_request(card, retain=settings.intake_retain, priority=Priority.BULK),
        max_instance_bytes=settings.listen_max_instance_bytes,
        renew_s=min(_RENEW_SECONDS, settings.quiet_seconds / 4),
    )
    port = DEFAULT_PORT if settings.listen_port is None else settings.listen_port
    listener = Listener(settings, port, partial(Reception, shared), ListenerMetrics(registry))
    listener.start()
    log.info("listening", aet=settings.listen_aet, host=listener.address[0], port=listener.address[1])
    try:
        yield listener
    finally:
        listener.stop(grace_s=_GRACE_SECONDS)
        log.info("listener_stopped")
