"""What the jobs of one worker process share, built once in the entry point."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from prometheus_client import CollectorRegistry, ProcessCollector

from slicebank_models.registry import EncoderRegistry
from slicebank_store.blobs import BlobStore, open_blobs
from slicebank_store.catalogue import Catalogue
from slicebank_store.intake import Staging
from slicebank_store.notify import Notifier
from slicebank_store.queue import CeleryQueue, TaskQueue
from slicebank_store.scratch import open_scratch
from slicebank_worker.gate import Gate
from slicebank_worker.hurrying import Hurrier
from slicebank_worker.leases import Leases
from slicebank_worker.metrics import JobMeter
from slicebank_worker.settings import WorkerSettings
from slicebank_worker.slots import Slots
from slicebank_worker.sweeper import Sweeper


class Role(StrEnum):
    """The three kinds of worker process."""

    EMBED = "embed"
    TRAIN = "train"
    PREDICT = "predict"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Collaborators of every job.

    Attributes:
        name: this worker in leases: host, role and process id.
        slots: bounds the bulk jobs in hand.
        metrics: what Prometheus is told of this process.
        meter: counts the jobs that leave its hands.
        decoders: threads that decode pixels.
        scratch: a folder of this process's own for files in the making; gone when the process ends.
    """

    settings: WorkerSettings
    name: str
    catalogue: Catalogue
    blobs: BlobStore
    staging: Staging
    queue: TaskQueue
    notifier: Notifier
    registry: EncoderRegistry
    leases: Leases
    gate: Gate
    sweeper: Sweeper
    slots: Slots
    metrics: CollectorRegistry
    meter: JobMeter
    decoders: ThreadPoolExecutor
    scratch: Path


@contextmanager
def open_runtime(settings: WorkerSettings, role: Role) -> Iterator[Runtime]:
    """Opens everything a worker needs, and closes it again.

    Raises:
        StoreError: the catalogue is not there or is of another version.
    """
    with ExitStack() as stack:
        catalogue = Catalogue.open(settings.resolved_catalogue_url)
        stack.callback(catalogue.close)
        queue = CeleryQueue(settings.resolved_broker_url)
        stack.callback(queue.close)
        notifier = Notifier(settings.resolved_broker_url)
        stack.callback(notifier.close)
        leases = Leases(
            catalogue.jobs, notifier, lease_s=settings.lease_seconds, heartbeat_s=settings.heartbeat_seconds
        )
        stack.callback(leases.close)
        stack.enter_context(Hurrier(settings.resolved_broker_url, leases.renew))
        sweeper = Sweeper(
            catalogue,
            queue,
            every_s=settings.sweep_seconds,
            redispatch_after_s=settings.redispatch_seconds,
            lease_s=settings.lease_seconds,
        )
        stack.callback(sweeper.close)
        metrics = CollectorRegistry()
        ProcessCollector(registry=metrics)
        # Slices are decoded and resized side by side; one that used all cores would take them from the encoder.
        decoders = ThreadPoolExecutor(
            settings.decode_threads, "decode", initializer=torch.set_num_threads, initargs=(1,)
        )
        stack.callback(decoders.shutdown, cancel_futures=True)
        yield Runtime(
            settings=settings,
            name=f"{socket.gethostname()}:{role}:{os.getpid()}",
            catalogue=catalogue,
            blobs=open_blobs(settings),
            staging=Staging(settings.resolved_staging_dir),
            queue=queue,
            notifier=notifier,
            registry=EncoderRegistry(settings.resolved_encoders_dir),
            leases=leases,
            gate=Gate(),
            sweeper=sweeper,
            slots=Slots(settings.jobs_at_once if role is Role.EMBED else 1),
            metrics=metrics,
            meter=JobMeter(metrics, lambda: leases.held),
            decoders=decoders,
            scratch=stack.enter_context(open_scratch(settings.resolved_scratch_dir, role.value)),
        )
