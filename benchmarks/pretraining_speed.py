"""Does a training step from the cache on disk take longer than the same step with its batch on the device already?

Three variants take turns, a stretch of consecutive steps of LECL a turn: with batches from the cache, read ahead by threads,
as `slicebank pretrain run` does it, every tenth one with its statistics; with one batch of HU resident on the device, where
views, loss, gradients, optimiser and momentum encoder are the same; and with the views there already too, which tells what
making them costs. Threads read in the first variant's turns alone, and a step that is not timed begins each of those, so that
nothing is read at another's expense. Ratios are medians over the rounds of the ratio within a round. What the threads read
when nothing trains is told too. The cache was written just before: it lies in memory where there is enough.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form
from benchmarks.record import save
from benchmarks.timing import Timing

if TYPE_CHECKING:
    import torch

    from slicebank_models.pretraining.slice_cache import SliceCache

NEEDED_RATIO = 0.90
# The paper's rates per A100, twice of which are wanted of one device of the class of an H200.
ON_GPU = {"mambaout_tiny": 490.0, "vit_conv_base": 370.0}
GPU_BATCH, GPU_PARTS = 1024, 8
STEPS_A_TURN = 4
SEED = 11


def run(form: Form) -> None:
    """On the processor, with the smallest MambaOut."""
    import torch

    _run(
        form,
        torch.device("cpu"),
        {"mambaout_femto": None},
        slices=form.pick(32, 128),
        batch=8,
        parts=1,
        rounds=form.pick(2, 8),
    )


def run_on_gpu(form: Form) -> None:
    """On CUDA, with the networks and the batch of the paper, by accumulation."""
    import torch

    _run(
        form,
        torch.device("cuda", 0),
        ON_GPU,
        slices=2 * GPU_BATCH,
        batch=GPU_BATCH,
        parts=GPU_PARTS,
        rounds=form.pick(2, 8),
    )


def _run(
    form: Form,
    device: torch.device,
    architectures: dict[str, float | None] | dict[str, float],
    *,
    slices: int,
    batch: int,
    parts: int,
    rounds: int,
) -> None:
    import torch

    from slicebank_models.pretraining.slice_cache import SliceCache

    figures: dict[str, Any] = {"batch": batch, "parts": parts, "needed_ratio": NEEDED_RATIO}
    figures["architectures"] = {}
    with tempfile.TemporaryDirectory() as scratch:
        cache = SliceCache(_cache(Path(scratch) / "cache", slices))
        for name, needed in architectures.items():
            measured = _measure(name, cache, device, batch=batch, parts=parts, rounds=rounds)
            figures["architectures"][name] = {**measured, "needed_slices_per_s": needed}
            print(name, figures["architectures"][name], flush=True)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    print(save("pretraining_speed", __doc__ or "", figures, form, gpu=gpu))


def _cache(folder: Path, slices: int) -> Path:
    """Slices of noise of 512 x 512, every fourth with a box; what they show does not matter to the speed."""
    import numpy as np

    from slicebank_models.pretraining.slice_cache import write_cache
    from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice

    class Noise:
        name = "noise"
        left_out = ()

        def __len__(self) -> int:
            return slices

        def slices(self) -> Any:
            generator = np.random.default_rng(SEED)
            for place in range(slices):
                hu = generator.integers(-1024, 1024, (512, 512), np.int16)
                boxes = (LesionBox(200.0, 100.0, 240.0, 150.0),) if place % 4 == 0 else ()
                yield SourceSlice(hu, str(place // 8), str(place // 8), place % 8, boxes)

    write_cache([Noise()], folder, side=512)
    return folder


def _measure(
    architecture: str, cache: SliceCache, device: torch.device, *, batch: int, parts: int, rounds: int
) -> dict[str, Any]:
    import numpy as np
    import torch

    from slicebank_models.pretraining.distributed import Processes
    from slicebank_models.pretraining.draws import draw_views
    from slicebank_models.pretraining.grey import window_bounds
    from slicebank_models.pretraining.loader import BatchLoader
    from slicebank_models.pretraining.spec import PretrainingSpec
    from slicebank_models.pretraining.stepping import Stepper
    from slicebank_models.pretraining.views import render_views

    spec = PretrainingSpec.from_toml(
        "",
        [
            f"model.architecture={architecture}",
            f"optimiser.batch_size={batch}",
            f"optimiser.accumulate={parts}",
            f"run.readers={8 if device.type == 'cuda' else 2}",
        ],
    )
    windows = {"abdomen": (-175.0, 275.0), "lung": (-1500.0, 500.0)}
    stepper = Stepper(spec, windows, steps_per_epoch=len(cache) // batch, processes=Processes(device=device))
    loader = BatchLoader(
        cache,
        np.arange(len(cache)),
        batch_size=batch,
        share=(0, batch),
        seed=SEED,
        readers=spec.run.readers,
        device=device,
    )
    (resident,) = loader.batches([0])
    draws = draw_views(spec.views, batch, seed=SEED, step=0)
    bounds = window_bounds(spec.views.windows, windows).to(device)
    view1, view2 = render_views(resident, draws, spec.views, spec.loss.method, bounds, spec.model.input_size)

    def settle() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def from_cache(first: int) -> float:
        batches = loader.batches(range(first, first + STEPS_A_TURN + 1))
        stepper.step(next(batches), first)
        settle()

        def rest() -> None:
            for step, there in enumerate(batches, first + 1):
                outcome = stepper.step(there, step)
                if step % spec.run.log_steps == 0:
                    outcome.measured().tolist()

        return _seconds(rest, settle)

    def turn_of(step: Callable[[], object]) -> float:
        return _seconds(lambda: [step() for _ in range(STEPS_A_TURN)], settle)

    seconds: dict[str, list[float]] = {"cache": [], "device": [], "views": []}
    for turn in range(rounds + 1):
        seconds["cache"].append(from_cache(turn * (STEPS_A_TURN + 1)))
        seconds["device"].append(turn_of(lambda: stepper.step(resident, 0)))
        seconds["views"].append(turn_of(lambda: stepper.step_on_views(view1, view2, resident.annotated, 0)))
    timings = {name: Timing(tuple(found[1:])) for name, found in seconds.items()}  # the first turn warms
    rates = {name: STEPS_A_TURN * batch / timing.median for name, timing in timings.items()}
    read = max(2, 64 // batch) * STEPS_A_TURN
    reading = _seconds(lambda: [None for _ in loader.batches(range(read))], settle)
    return {
        "threads": torch.get_num_threads(),
        "dtype": str(stepper.dtype).removeprefix("torch."),
        "slices_per_s": rates["cache"],
        "resident_slices_per_s": rates["device"],
        "views_there_slices_per_s": rates["views"],
        "ratio": _paired(timings["device"], timings["cache"]),
        "views_share": 1.0 - _paired(timings["views"], timings["device"]),
        "spread": {name: timing.spread() for name, timing in timings.items()},
        "rounds": rounds,
        "steps_a_turn": STEPS_A_TURN,
        "readers": spec.run.readers,
        "read_alone_slices_per_s": read * batch / reading,
    }


def _seconds(run: Callable[[], object], settle: Callable[[], None]) -> float:
    """Seconds of one run, its work on the device included."""
    started = time.perf_counter()
    run()
    settle()
    return time.perf_counter() - started


def _paired(shorter: Timing, longer: Timing) -> float:
    """Median over the rounds of the ratio of two times, so that a slow round counts for both."""
    return statistics.median(one / other for one, other in zip(shorter.seconds, longer.seconds, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the long form, whose figures are quoted")
    parser.add_argument("--gpu", action="store_true", help="the form that needs a CUDA device")
    asked = parser.parse_args()
    (run_on_gpu if asked.gpu else run)(Form.FULL if asked.full else Form.SHORT)
