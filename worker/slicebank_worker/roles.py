"""What each kind of worker process runs, and how much of it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import torch

from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_worker.device import choose_batch_rows, choose_device
from slicebank_worker.engine import EncoderKey, Engine, EngineLimits
from slicebank_worker.engine.series import SeriesEncoder
from slicebank_worker.errors import EncoderUnavailable
from slicebank_worker.jobs.embed import Embedder
from slicebank_worker.jobs.outcome import JobRunner
from slicebank_worker.jobs.predict import Predictor
from slicebank_worker.jobs.train import Trainer
from slicebank_worker.runtime import Role, Runtime

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RoleService:
    """What a worker process does.

    Attributes:
        runner: runs one job.
        concurrency: jobs at once.
    """

    runner: JobRunner
    concurrency: int


@contextmanager
def open_role(runtime: Runtime, role: Role) -> Iterator[RoleService]:
    """Builds what a kind of worker runs jobs with.

    Raises:
        NoSuchDevice: the device asked for is not there.
    """
    if role is Role.TRAIN:
        # Small matrices gain little from more, and an embed worker may need the other half.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
        yield RoleService(Trainer(runtime).run, concurrency=1)
    elif role is Role.PREDICT:
        # Answers take milliseconds: one core leaves the others to embedding and training.
        torch.set_num_threads(1)
        yield RoleService(Predictor(runtime).run, concurrency=1)
    else:
        with _embedding(runtime) as service:
            yield service


@contextmanager
def _embedding(runtime: Runtime) -> Iterator[RoleService]:
    settings = runtime.settings
    device = choose_device(settings)

    def load(key: EncoderKey) -> FrozenEncoder:
        card = runtime.registry.get(key.encoder)
        if card.weights_digest != key.weights_digest:
            raise EncoderUnavailable(
                f"encoder {key.encoder} has other weights here than when the series was taken in; upload the series again"
            )
        encoder = FrozenEncoder(
            card,
            load_encoder(card, runtime.registry.folder),
            device=device,
            precision="fp32" if key.precision == "fp32" else "standard",
        )
        log.info("encoder_loaded", encoder=card.id, **encoder.numerics)
        return encoder

    engine = Engine(load, EngineLimits(batch_rows=choose_batch_rows(settings, device)))
    try:
        default = runtime.registry.get(DEFAULT_ENCODER)
        engine.warm(EncoderKey(default.id, default.weights_digest, "standard"))
        series = SeriesEncoder(engine, runtime.decoders, settings.decode_threads)
        yield RoleService(Embedder(runtime, series).run, concurrency=settings.jobs_at_once)
    finally:
        engine.close()
