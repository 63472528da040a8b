"""The worker's own pipeline without service and jobs: DICOM files on disk to features, through the engine that workers use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.windows import NAMED
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_worker.allocator import keep_freed_memory
from slicebank_worker.device import plan_runners
from slicebank_worker.engine import EncoderKey, EncoderShelf, Engine
from slicebank_worker.engine.cuda import CudaEncoder
from slicebank_worker.engine.host import HostEncoder
from slicebank_worker.engine.rows import RowSpec
from slicebank_worker.engine.series import EncodedSlice, SeriesEncoder
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
    on_gpu = plan.devices[0].type == "cuda"
    wrap = CudaEncoder if on_gpu else HostEncoder
    encoders = {device: open_encoder(encoder_id, precision, device) for device in set(plan.devices)}
    shelves = {device: EncoderShelf(lambda _, held=held: wrap(held), 1) for device, held in encoders.items()}

    def begin(number: int) -> None:
        torch.set_num_threads(plan.threads)
        if on_gpu:
            torch.cuda.set_device(plan.devices[number])

    engine = Engine([shelves[device] for device in plan.devices], plan.limits, begin)
    with ThreadPoolExecutor(settings.decode_threads) as decoders:
        try:
            series = SeriesEncoder(engine, decoders, settings.decode_threads, rows_on_device=on_gpu)
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


@dataclass(frozen=True, slots=True)
class Stack:
    """The slices of one series on disk, in order of position."""

    folder: Path
    series_uid: str
    slices: Sequence[SliceRef]


def read_stack(folder: Path) -> Stack:
    """The default stack of the one series in a folder."""
    options = ImportOptions()
    headers: list[Any] = [
        read_file_header(path, file=path.name, name=path.name, options=options)
        for path in sorted(folder.iterdir())
        if path.is_file()
    ]
    series = group_series(headers, options).series[0]
    chosen = next(stack for stack in series.stacks if stack.stack == series.default_stack)
    return Stack(folder, series.series_uid, chosen.slices)


def embed_from_disk(folders: list[Path], encoder_id: str, precision: str) -> PipelineRun:
    """One run of a pipeline of its own; its encoder is loaded and warm before the clock starts."""
    with open_pipeline(encoder_id, precision) as pipeline:
        pipeline.run(folders[:1])
        return pipeline.run(folders)
