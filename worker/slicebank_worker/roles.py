"""What each kind of worker process runs, and how much of it at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import torch

from slicebank_models.errors import BadCard, UnknownEncoder
from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_store.pacs.sources import load_sources
from slicebank_store.questions import Answering
from slicebank_store.types import JobKind
from slicebank_store.workers import WorkerStatus
from slicebank_worker.batching import batch_memory, limits_of
from slicebank_worker.device import Runners, plan_runners
from slicebank_worker.encoder_loading import EncoderLoader
from slicebank_worker.engine import EncoderKey, EngineLimits
from slicebank_worker.engine.series import SeriesEncoder
from slicebank_worker.feeding import start_engine
from slicebank_worker.gauge import Gauge
from slicebank_worker.jobs.embed import Embedder
from slicebank_worker.jobs.evaluate import Evaluator
from slicebank_worker.jobs.imports import Importer, takes_study_in
from slicebank_worker.jobs.outcome import JobRunner
from slicebank_worker.jobs.predict import Predictor
from slicebank_worker.jobs.pull import Puller
from slicebank_worker.jobs.train import Trainer
from slicebank_worker.leases import Hold
from slicebank_worker.metrics import EngineCollector
from slicebank_worker.runtime import Role, Runtime

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RoleService:
    """What a worker process does.

    Attributes:
        runner: runs one job.
        concurrency: jobs at once.
        describe: what the worker board says of this process.
    """

    runner: JobRunner
    concurrency: int
    describe: Callable[[], WorkerStatus]


@contextmanager
def open_role(runtime: Runtime, role: Role) -> Iterator[RoleService]:
    """Builds what a kind of worker runs jobs with.

    Raises:
        NoSuchDevice: the device asked for is not there.
        BadSources: the settings that name PACS are not usable.
    """
    if role is Role.TRAIN:
        # Small matrices gain little from more, and an embed worker may need the other half.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
        trainer, evaluator = Trainer(runtime), Evaluator(runtime)

        def learn(hold: Hold) -> bool:
            return (evaluator if hold.lease.job.kind is JobKind.EVALUATE else trainer).run(hold)

        yield RoleService(learn, concurrency=1, describe=_plain_status(runtime, role))
    elif role is Role.PREDICT:
        # Two cores answer in two thirds of the time that one takes; more gain little on some hundred rows, and embedding needs them.
        torch.set_num_threads(min(2, os.cpu_count() or 1))
        predictor = Predictor(runtime)
        with Answering(runtime.settings.resolved_broker_url, predictor.answer):
            yield RoleService(predictor.run, concurrency=1, describe=_plain_status(runtime, role))
    else:
        with _embedding(runtime) as service:
            yield service


@contextmanager
def _embedding(runtime: Runtime) -> Iterator[RoleService]:
    settings = runtime.settings
    plan = plan_runners(settings)
    loader = EncoderLoader(runtime.registry, runtime.name)
    engine = start_engine(plan, loader, _limiter(runtime, plan))
    try:
        default = runtime.registry.get(DEFAULT_ENCODER)
        engine.warm(EncoderKey(default.id, default.weights_digest, "standard"))
        series = SeriesEncoder(engine, runtime.decoders, settings.decode_threads, rows_on_device=plan.on_gpu)
        describe = _embed_status(runtime, series, plan, loader)
        runtime.metrics.register(
            EngineCollector(engine.usage, lambda: series.slices, lambda: series.decoding_s, settings.decode_threads)
        )
        importer = Importer(runtime, load_sources(settings))
        embedder = Embedder(runtime, series)
        puller = Puller(runtime)

        def run(hold: Hold) -> bool:
            if hold.lease.job.kind is JobKind.PULL:
                return puller.run(hold)
            return importer.run(hold) if takes_study_in(hold.lease.job) else embedder.run(hold)

        yield RoleService(run, concurrency=settings.jobs_at_once, describe=describe)
    finally:
        engine.close()


def _limiter(runtime: Runtime, plan: Runners) -> Callable[[EncoderKey], EngineLimits]:
    memory = batch_memory(plan, runtime.settings)

    def limits(key: EncoderKey) -> EngineLimits:
        try:
            return limits_of(runtime.registry.get(key.encoder), plan, memory)
        except (UnknownEncoder, BadCard):  # the job hears so when the encoder is loaded
            return plan.limits

    return limits


def _plain_status(runtime: Runtime, role: Role) -> Callable[[], WorkerStatus]:
    """Of a worker that encodes nothing."""
    started = time.time()

    def describe() -> WorkerStatus:
        return WorkerStatus(runtime.name, role.value, None, started, time.time(), jobs=runtime.leases.held)

    return describe


def _embed_status(
    runtime: Runtime, series: SeriesEncoder, plan: Runners, loader: EncoderLoader
) -> Callable[[], WorkerStatus]:
    started = time.time()
    engine = series.engine
    gauge = Gauge(engine.usage, lambda: series.decoding_s, runtime.settings.decode_threads)
    devices = ",".join(dict.fromkeys(str(device) for device in plan.devices))

    def describe() -> WorkerStatus:
        reading, usage = gauge.read(time.monotonic()), engine.usage()
        return WorkerStatus(
            name=runtime.name,
            role=Role.EMBED.value,
            device=devices,
            started_at=started,
            seen_at=time.time(),
            jobs=runtime.leases.held,
            encoders=engine.encoders,
            lacking=loader.lacking,
            rows_total=usage.rows,
            rows_per_second=reading.rows_per_second,
            window_s=reading.window_s,
            utilisation=reading.utilisation,
            decode_share=reading.decode_share,
            batch_rows=usage.batch_rows,
            bound_by=reading.bound_by,
        )

    return describe
