"""How much faster than one position after the other is the selective scan, and how does the whole VMamba compare with MambaOut, in float32 on one core?

The scan is that of VMamba's first stage: 56 x 56 tokens, 192 channels, four orders, 16 states or 1. `reference` is the loop over positions of
`slicebank_models/scan/reference.py`; `compiled` and `chunked` do the same from the same arguments, and `in_place` is the compiled form as the encoder calls it,
without copies into scanning order. On a GPU `triton` and `chunked` take images in bfloat16 as encoders call them, timed by its own events. Errors are against the reference in float64, over its root mean square. Whole encoders run batches of four rows of noise; they
take turns with each other, and so do the scans. Times are the processor's own, so that neighbours on a shared machine count less.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.encoder_alone import cuda_seconds
from benchmarks.form import Form, form_from_arguments
from benchmarks.record import save
from benchmarks.timing import Timing

if TYPE_CHECKING:
    from torch import Tensor

SIDE, CHANNELS, DIRECTIONS = 56, 192, 4
STATES = (16, 1)
ENCODERS = ("vmamba_default.untrained", "vmamba_tiny.untrained", "mambaout_tiny.untrained")
BATCH, INPUT_SIZE = 4, 224
GPU_IMAGES, GPU_ROWS = 16, 128


def run(form: Form) -> None:
    """Measures scans, their backward passes and whole encoders."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures: dict[str, Any] = {
            "scans": [_scan(states, form) for states in STATES],
            "encoders": _encoders(form),
        }
    finally:
        torch.set_num_threads(threads)
    for scan in figures["scans"]:
        print({name: value for name, value in scan.items() if name != "seconds"})
    print(figures["encoders"])
    print(save("selective_scan", __doc__ or "", figures, form))


def run_on_gpu(form: Form) -> None:
    """The same on the first CUDA device, in bfloat16."""
    import torch

    figures = {
        "scans": [_scan_on_gpu(states, form) for states in STATES],
        "encoders": _encoders_on_gpu(form),
        "gpu": torch.cuda.get_device_name(0),
    }
    print(json.dumps(figures))
    print(save("selective_scan", __doc__ or "", figures, form, gpu=torch.cuda.get_device_name(0)))


def _scan_on_gpu(states: int, form: Form) -> dict[str, Any]:
    """Forward alone, and forward with backward, of GPU_IMAGES images in four orders."""
    import torch

    from slicebank_models.scan import ScanForm, cross_scan

    arguments = [tensor.cuda() for tensor in _in_place(_arguments(states))]
    wanted = [arguments[0].expand(GPU_IMAGES, -1, -1, -1), *arguments[1:]]
    for place in (1, 3, 4):
        wanted[place] = arguments[place].expand(-1, GPU_IMAGES, -1, -1)
    half = [tensor.bfloat16() if place in (0, 1, 3, 4) else tensor for place, tensor in enumerate(wanted)]
    half = [tensor.contiguous() for tensor in half]
    leaves = [tensor.clone().requires_grad_() for tensor in half]
    forms = (ScanForm.TRITON, ScanForm.CHUNKED)
    with torch.inference_mode():
        exact = cross_scan(*(tensor.double() for tensor in half), form=ScanForm.CHUNKED)
        scale = float(exact.square().mean().sqrt())
        errors = {own.value: float((cross_scan(*half, form=own) - exact).abs().max()) / scale for own in forms}
        forward = {own.value: cuda_seconds(lambda own=own: cross_scan(*half, form=own), form) for own in forms}  # type: ignore[misc]
    step = {
        own.value: cuda_seconds(lambda own=own: cross_scan(*leaves, form=own).sum().backward(), form)  # type: ignore[misc]
        for own in forms
    }
    return {
        "states": states,
        "images": GPU_IMAGES,
        "forward_seconds": forward,
        "training_step_seconds": step,
        "triton_times_as_fast": {
            "forward": forward["chunked"] / forward["triton"],
            "training_step": step["chunked"] / step["triton"],
        },
        "largest_error": errors,
    }


def _encoders_on_gpu(form: Form) -> dict[str, Any]:
    """Rows a second that are on the device already."""
    import torch

    from benchmarks.pipeline import open_encoder

    rows = torch.randint(0, 256, (GPU_ROWS, INPUT_SIZE, INPUT_SIZE), dtype=torch.uint8, device="cuda")
    rates: dict[str, float] = {}
    for name in ENCODERS:
        encoder = open_encoder(name, "standard", torch.device("cuda:0"))
        rates[name] = GPU_ROWS / cuda_seconds(lambda encoder=encoder: encoder.features(rows), form)  # type: ignore[misc]
    return {
        "batch": GPU_ROWS,
        "rows_per_s": rates,
        "times_as_long_as_mambaout_tiny": {name: rates[ENCODERS[-1]] / rate for name, rate in rates.items()},
    }


def _scan(states: int, form: Form) -> dict[str, Any]:
    import torch

    from slicebank_models.scan import ScanForm, cross_scan, selective_scan
    from slicebank_models.scan.reference import selective_scan_reference

    arguments = _arguments(states)
    in_place = _in_place(arguments)
    forms: dict[str, Callable[[], Tensor]] = {
        "reference": lambda: selective_scan_reference(*arguments),
        "compiled": lambda: selective_scan(*arguments, form=ScanForm.COMPILED),
        "chunked": lambda: selective_scan(*arguments, form=ScanForm.CHUNKED),
        "in_place": lambda: cross_scan(*in_place, form=ScanForm.COMPILED),
    }
    with torch.inference_mode():
        timings = _take_turns(forms, form.pick(3, 9))
        exact = selective_scan_reference(*(tensor.double() for tensor in arguments))
        scale = float(exact.square().mean().sqrt())
        errors = {name: float((forms[name]() - exact).abs().max()) / scale for name in ("compiled", "chunked")}
    medians = {name: timing.median for name, timing in timings.items()}
    return {
        "states": states,
        "seconds": {name: list(timing.seconds) for name, timing in timings.items()},
        "times_as_fast_as_reference": {name: medians["reference"] / value for name, value in medians.items()},
        "largest_error": errors,
        "training_step_seconds": _training_step(arguments, form),
    }


def _arguments(states: int) -> list[Tensor]:
    """Of `selective_scan`: one image, four groups, steps from 0.002 to 0.13."""
    import torch

    torch.manual_seed(states)
    channels, length = DIRECTIONS * CHANNELS, SIDE * SIDE
    return [
        torch.randn(1, channels, length),
        0.5 * torch.randn(1, channels, length),
        -torch.exp(torch.randn(channels, states)),
        torch.randn(1, DIRECTIONS, states, length),
        torch.randn(1, DIRECTIONS, states, length),
        torch.randn(channels),
        4 * torch.rand(channels) - 6,
    ]


def _in_place(arguments: list[Tensor]) -> list[Tensor]:
    """As many numbers as `cross_scan` takes them."""
    u, delta, rates, b, c, through, bias = arguments
    line = u.view(1, DIRECTIONS, CHANNELS, -1)[:, 0].transpose(1, 2).reshape(1, SIDE, SIDE, CHANNELS)
    maps = [tensor.view(1, DIRECTIONS, -1, SIDE * SIDE).permute(1, 0, 3, 2).contiguous() for tensor in (delta, b, c)]
    vectors = [tensor.view(DIRECTIONS, CHANNELS, -1).squeeze(-1) for tensor in (through, bias)]
    return [line, maps[0], rates.view(DIRECTIONS, CHANNELS, -1), maps[1], maps[2], *vectors]


def _training_step(arguments: list[Tensor], form: Form) -> dict[str, float]:
    """Median seconds of a forward and a backward pass."""
    from slicebank_models.scan import ScanForm, selective_scan

    leaves = [tensor.clone().requires_grad_() for tensor in arguments]
    steps = {
        own.value: lambda own=own: selective_scan(*leaves, form=own).sum().backward()  # type: ignore[misc]
        for own in (ScanForm.COMPILED, ScanForm.CHUNKED)
    }
    return {name: timing.median for name, timing in _take_turns(steps, form.pick(1, 3)).items()}


def _encoders(form: Form) -> dict[str, Any]:
    import torch

    from slicebank_models.loading import load_encoder
    from slicebank_models.registry import EncoderRegistry

    rows = torch.randint(0, 256, (BATCH, INPUT_SIZE, INPUT_SIZE), dtype=torch.uint8)
    modules = {name: load_encoder(EncoderRegistry(None).get(name)) for name in ENCODERS}
    calls = {name: lambda module=module: module(rows) for name, module in modules.items()}  # type: ignore[misc]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.inference_mode():
        timings = _take_turns(calls, form.pick(3, 9))
    medians = {name: timing.median for name, timing in timings.items()}
    return {
        "batch": BATCH,
        "seconds": {name: list(timing.seconds) for name, timing in timings.items()},
        "times_as_long_as_mambaout_tiny": {name: value / medians[ENCODERS[-1]] for name, value in medians.items()},
        "peak_rose_by_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _take_turns(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """As `timing.take_turns`, by the time that this thread spent on a processor."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for call in variants.values():
        call()
    for _ in range(rounds):
        for name, call in variants.items():
            started = time.thread_time()
            call()
            seconds[name].append(time.thread_time() - started)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
