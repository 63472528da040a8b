"""The training loop of MoCo v3 and LECL: from a cache of slices to a folder with checkpoints and a curve."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from slicebank_models.errors import PretrainingDiverged, PretrainingError
from slicebank_models.pretraining import checkpointing, run_record
from slicebank_models.pretraining.checkpointing import PretrainingCheckpoint
from slicebank_models.pretraining.deterministic import deterministic_kernels
from slicebank_models.pretraining.distributed import Processes
from slicebank_models.pretraining.grey import window_bounds
from slicebank_models.pretraining.linear_probe import ProbeResult, embed_slices, fit_probe, probe_task
from slicebank_models.pretraining.loader import BatchLoader, steps_per_epoch
from slicebank_models.pretraining.metrics_file import MetricsFile, MetricsLine
from slicebank_models.pretraining.monitoring import CollapseAlarm
from slicebank_models.pretraining.run_clock import RunClock
from slicebank_models.pretraining.run_record import RunRecord
from slicebank_models.pretraining.scalars import Scalars
from slicebank_models.pretraining.slice_cache import SliceCache
from slicebank_models.pretraining.spec import PretrainingSpec
from slicebank_models.pretraining.splitting import split_patients
from slicebank_models.pretraining.stepping import Stepper, StepStatistics
from slicebank_models.versions import versions

Split = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run stands.

    Attributes:
        folder: Of the run.
        step: Steps done.
        total_steps: Of the whole run.
        loss: Of the last logged step; NaN where none was logged.
        seconds: Of training, over all resumptions.
        interrupted: Whether it was asked to stop.
        warning: What the collapse alarm said; empty where it said nothing.
        probe: The last linear probe's result.
    """

    folder: Path
    step: int
    total_steps: int
    loss: float
    seconds: float
    interrupted: bool
    warning: str
    probe: ProbeResult | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run tells while it goes.

    Attributes:
        step: Steps done.
        last_step: At which it ends.
        line: What was logged at this step, if it was.
        note: A sentence to show, such as the collapse alarm's; empty for none.
    """

    step: int
    last_step: int
    line: MetricsLine | None = None
    note: str = ""


def pretrain(
    cache: SliceCache,
    spec: PretrainingSpec,
    folder: Path,
    *,
    windows: Mapping[str, tuple[float, float]],
    processes: Processes | None = None,
    split: Split | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Trains, or goes on with the run that `folder` holds, until its last step or until it is asked to stop.

    Order, views and first weights follow from the seed, so that a run that was killed goes on with the curve it would have
    had, and several processes see the global batches of one.

    Args:
        cache: The slices.
        spec: The settings.
        folder: Of the run; made where there is none. The first process alone writes there.
        windows: Lowest and highest HU of `spec.views.windows` by name; others are not looked at.
        processes: Those that train together; where it is None, one alone on the first CUDA device, or on the CPU where there is none.
        split: Places in the cache to train on and to hold out; split by patient where it is None.
        on_progress: Called after every step, in the first process.
        stop: Asked after every step; a checkpoint is written before the end.

    Raises:
        BadPretrainingSetting: Settings and slices do not go together.
        BadPretrainingCheckpoint: The folder holds a run of other settings or slices, or none that can be read.
        PretrainingDiverged: The loss stopped being a number; the last checkpoint is of before.
        PretrainingError: Another process trains in this folder.
    """
    processes = processes or Processes.alone()
    with _alone(folder, processes):
        run = _Run(cache, spec, folder, windows, processes, split, on_progress)
        with deterministic_kernels(spec.run.deterministic), torch.random.fork_rng(_cuda_devices(processes)):
            return run.until_end(stop)


class _Run:
    """One run from its beginning, or from its last checkpoint."""

    def __init__(
        self,
        cache: SliceCache,
        spec: PretrainingSpec,
        folder: Path,
        windows: Mapping[str, tuple[float, float]],
        processes: Processes,
        split: Split | None,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._cache, self._spec, self._folder, self._processes = cache, spec, folder, processes
        self._windows = {name: windows[name] for name in spec.views.windows if name in windows}
        self._on_progress = on_progress
        if split is None:
            split = split_patients(cache, spec.run.validation_fraction, spec.run.seed)
        self._train, self._validation = split
        batch_size = spec.optimiser.batch_size
        self._per_epoch = steps_per_epoch(len(self._train), batch_size)
        self._total = self._per_epoch * spec.optimiser.epochs
        self._last = min(self._total, spec.run.max_steps or self._total)
        self._loader = BatchLoader(
            cache,
            self._train,
            batch_size=batch_size,
            share=processes.share(batch_size),
            seed=spec.run.seed,
            readers=spec.run.readers,
            device=processes.device,
        )
        self._stepper = Stepper(spec, self._windows, steps_per_epoch=self._per_epoch, processes=processes)
        self._bounds = window_bounds(spec.views.windows, self._windows)
        self._task = None
        if spec.run.probe_epochs:
            self._task = probe_task(cache, *split, most=spec.run.probe_slices, seed=spec.run.seed)
        self._began = run_record.began(folder)
        self._alarm = CollapseAlarm(first_step=math.ceil(spec.optimiser.warmup_epochs * self._per_epoch))
        self._losses: list[torch.Tensor] = []
        self._loss = math.nan
        self._probed: ProbeResult | None = None
        self._step = 0
        self._clock = RunClock(self._resume())

    def until_end(self, stop: Callable[[], bool]) -> RunResult:
        """Trains; see `pretrain`."""
        first = self._processes.first
        writing = self._folder if first else None
        if first:
            run_record.write_settings(self._folder, self._spec)
            self._write_record()
        steps = range(self._step, self._last)
        interrupted = False
        with (
            MetricsFile(writing, self._step) as metrics,
            Scalars(writing, self._step) as scalars,
            closing(self._loader.batches(steps)) as batches,
        ):
            for step, batch in zip(steps, batches, strict=True):
                logged = self._logs(step + 1)
                statistics = self._stepper.step(batch, step)
                self._losses.append(statistics.loss)
                self._step = step + 1
                self._clock.count(self._spec.optimiser.batch_size)
                interrupted = self._processes.any(stop())
                line = self._measure(statistics) if logged else None
                if line is not None:
                    # Before the checkpoint: a run that goes on from it must find the line.
                    metrics.append(line)
                    scalars.append(line)
                if interrupted or self._step == self._last or self._step % self._spec.run.checkpoint_steps == 0:
                    self._save()
                self._tell(line)
                if interrupted:
                    break
        return RunResult(
            self._folder,
            self._step,
            self._total,
            self._loss,
            self._clock.seconds,
            interrupted and self._step < self._last,
            self._alarm.said,
            self._probed,
        )

    def _resume(self) -> float:
        """Takes up the last checkpoint, where there is one; returns the seconds it took to come there."""
        checkpoint = checkpointing.load_checkpoint(self._folder)
        if checkpoint is None:
            return 0.0
        checkpointing.require_same_run(checkpoint, self._spec, self._cache.digest, self._windows)
        self._stepper.load(checkpoint.model, checkpoint.optimiser)
        self._step = checkpoint.step
        return checkpoint.seconds

    def _logs(self, step: int) -> bool:
        return step % self._spec.run.log_steps == 0 or step == self._last or self._probes(step)

    def _probes(self, step: int) -> bool:
        every = self._spec.run.probe_epochs * self._per_epoch
        return self._task is not None and bool(every) and (step % every == 0 or step == self._total)

    def _measure(self, statistics: StepStatistics) -> MetricsLine:
        self._require_finite()
        measured = self._processes.mean(statistics.measured()).tolist()
        rate = self._clock.rate()
        probed = None
        if self._probes(self._step) and self._processes.first:
            with self._clock.paused():
                probed = self._probed = self._probe()
        loss, accuracy, feature_std, aligned, uniform = measured
        self._loss = loss
        return MetricsLine(
            step=self._step,
            epoch=self._step / self._per_epoch,
            loss=loss,
            lr=statistics.lr,
            momentum=statistics.momentum,
            accuracy=accuracy,
            feature_std=feature_std,
            alignment=aligned,
            uniformity=uniform,
            slices_per_s=rate,
            seconds=self._clock.seconds,
            probe_auroc=None if probed is None else probed.auroc,
            probe_balanced_accuracy=None if probed is None else probed.balanced_accuracy,
        )

    def _require_finite(self) -> None:
        """Judges the losses since the last time, all at once: each one alone would make the device wait."""
        if not self._losses:
            return
        finite = torch.isfinite(self._processes.mean(torch.stack(self._losses))).tolist()
        began = self._step - len(self._losses)
        self._losses.clear()
        if not all(finite):
            last = checkpointing.load_checkpoint(self._folder)
            where = "There is no checkpoint yet" if last is None else f"The last checkpoint is of step {last.step}"
            raise PretrainingDiverged(
                f"The loss stopped being a number at step {began + finite.index(False) + 1}. {where}. Lower optimiser.lr or "
                "raise optimiser.warmup_epochs, and begin in another folder; model.initial_weights takes weights along."
            )

    def _probe(self) -> ProbeResult | None:
        task = self._task
        if task is None:
            return None
        train, validation = (
            embed_slices(
                self._stepper.encoder,
                self._cache,
                indices,
                windows=self._bounds,
                input_size=self._spec.model.input_size,
                device=self._processes.device,
                dtype=self._stepper.dtype,
            )
            for indices in (task.train, task.validation)
        )
        return fit_probe(task, train, validation)

    def _save(self) -> None:
        self._require_finite()
        if not self._processes.first:
            return
        with self._clock.paused():
            model, optimiser = self._stepper.state()
            checkpointing.save_checkpoint(
                self._folder,
                PretrainingCheckpoint(
                    step=self._step,
                    model=model,
                    optimiser=optimiser,
                    spec=self._spec.as_dict(),
                    cache_digest=self._cache.digest,
                    windows=self._windows,
                    seconds=self._clock.seconds,
                ),
            )
            self._write_record()

    def _tell(self, line: MetricsLine | None) -> None:
        note = self._alarm.judge(line) if line is not None else None
        if self._processes.first:
            self._on_progress(Progress(self._step, self._last, line, note or ""))

    def _write_record(self) -> None:
        patients = self._cache.patients
        device = self._processes.device
        run_record.write_record(
            self._folder,
            RunRecord(
                cache_digest=self._cache.digest,
                cache=dict(self._cache.record),
                windows=self._windows,
                train_slices=len(self._train),
                validation_slices=len(self._validation),
                train_patients=len(np.unique(patients[self._train])),
                validation_patients=len(np.unique(patients[self._validation])),
                steps_per_epoch=self._per_epoch,
                total_steps=self._total,
                step=self._step,
                seconds=round(self._clock.seconds, 1),
                device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
                processes=self._processes.world_size,
                precision=str(self._stepper.dtype).removeprefix("torch."),
                seed=self._spec.run.seed,
                probe="" if self._task is None else self._task.name,
                warning=self._alarm.said,
                versions=versions(*run_record.PACKAGES),
                began=self._began,
                updated=run_record.now(),
            ),
        )


def _cuda_devices(processes: Processes) -> list[torch.device]:
    return [processes.device] if processes.device.type == "cuda" else []


@contextmanager
def _alone(folder: Path, processes: Processes) -> Iterator[None]:
    """Keeps other runs out of the folder; a lock that a killed process held is free."""
    folder.mkdir(parents=True, exist_ok=True)
    if not processes.first:
        yield
        return
    lock = FileLock(folder / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PretrainingError(
            f"Another process trains in {folder.name}; wait for it, or take another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()
