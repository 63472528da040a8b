"""The worker's own pipeline without service and jobs: DICOM files on disk to features, through the engine that workers use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.slices import Stack, read_stack
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.windows import NAMED
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_worker.allocator import keep_freed_memory
from slicebank_worker.device import plan_runners
from slicebank_worker.engine import EncoderKey
from slicebank_worker.engine.rows import RowSpec
from slicebank_worker.engine.series import EncodedSlice, SeriesEncoder
from slicebank_worker.feeding import start_engine
from slicebank_worker.settings import WorkerSettings

WINDOWS = (NAMED["abdomen"], NAMED["lung"])
INPUT_SIZE = 224


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """What came out of a run.

    Attributes:
        rows: encoded.
        seconds: from the first slice's decoding to the last features.
        utilisation: share of that time in which the runners were encoding.
        stages: seconds by stage, summed over slices.
        features: by series UID, (N, D) float32, row = slice * W + window.
    """

    rows: int
    seconds: float
    utilisation: float
    stages: Mapping[str, float]
    features: Mapping[str, NDArray[np.float32]]


def open_encoder(encoder_id: str, precision: str, device: torch.device | str = "cpu") -> FrozenEncoder:
    """A frozen encoder as workers load it."""
    card = EncoderRegistry(None).get(encoder_id)
    chosen = "fp32" if precision == "fp32" else "standard"
    return FrozenEncoder(card, load_encoder(card), device=device, precision=chosen)


@contextmanager
def open_pipeline(encoder_id: str, precision: str) -> Iterator[Pipeline]:
    """A warm engine on this machine's devices, with a worker's default settings."""
    keep_freed_memory()
    settings = WorkerSettings(_env_file=None)  # type: ignore[call-arg]
    plan = plan_runners(settings)
    encoders = {device: open_encoder(encoder_id, precision, device) for device in set(plan.devices)}
    engine = start_engine(plan, lambda _, device: encoders[device])
    with ThreadPoolExecutor(settings.decode_threads, initializer=torch.set_num_threads, initargs=(1,)) as decoders:
        try:
            series = SeriesEncoder(engine, decoders, settings.decode_threads, rows_on_device=plan.on_gpu)
            yield Pipeline(series, EncoderKey(encoder_id, "", precision), encoders[plan.devices[0]], len(plan.devices))
        finally:
            engine.close()


@dataclass(slots=True)
class Pipeline:
    """Runs series side by side as a worker's jobs do.

    Attributes:
        encoder: that the engine runs, on its first device, so that it can be timed by itself.
        runners: threads that feed devices.
    """

    series: SeriesEncoder
    key: EncoderKey
    encoder: FrozenEncoder
    runners: int

    def run(self, folders: Sequence[Path], *, side_by_side: int = 4, thumbnails: bool = True) -> PipelineRun:
        """Encodes the series of some folders.

        Args:
            folders: one series of CT each.
            side_by_side: at once, as a worker's `jobs_at_once`.
            thumbnails: make them too.
        """
        stacks = [read_stack(folder) for folder in folders]
        spec = RowSpec(WINDOWS, INPUT_SIZE, hounsfield=False, thumbnails=thumbnails)
        before, started = self.series.engine.usage(), time.perf_counter()
        with ThreadPoolExecutor(side_by_side) as jobs:
            done = list(jobs.map(lambda stack: self._one(stack, spec), stacks))
        seconds = time.perf_counter() - started
        busy = self.series.engine.usage().busy_s - before.busy_s
        stages: dict[str, float] = {}
        for _, _, times in done:
            for name, value in times.items():
                stages[name] = stages.get(name, 0.0) + value
        features = {uid: values for uid, values, _ in done}
        rows = sum(map(len, features.values()))
        return PipelineRun(rows, seconds, busy / seconds / self.runners, stages, features)

    def _one(self, stack: Stack, spec: RowSpec) -> tuple[str, NDArray[np.float32], dict[str, float]]:
        loader = SliceLoader(stack.folder)
        features, stages = [], dict[str, float]()
        with self.series.engine.stream(self.key, interactive=False) as stream:
            for item in self.series.run(lambda i: loader.load(stack.slices[i]), len(stack.slices), spec, stream):
                if not isinstance(item, EncodedSlice):
                    raise TypeError(item.detail)
                features.append(item.features)
                for name, seconds in asdict(item.times).items():
                    stages[name] = stages.get(name, 0.0) + seconds
        return stack.series_uid, np.concatenate(features), stages
