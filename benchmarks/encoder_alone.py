"""How fast is an encoder by itself, over batch size, precision and the way a CPU's cores share the work, and how near to the rate of a plain matrix product?

Rows are in memory already; nothing is decoded. `of_gemm` is the share of a 2048 x 2048 x 2048 product's rate (8192 on a GPU), measured in turn with the encoders,
that the encoder reaches counting only its convolutions, linear layers and attention.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.form import Form, form_from_arguments
from benchmarks.record import save

ENCODERS = ("mambaout_femto", "mambaout_tiny", "vit_base")
CPU_GEMM, GPU_GEMM = 2048, 8192
INPUT_SIZE = 224
# Large batches of a large network take minutes on two cores.
SHORT_BATCHES = {"mambaout_femto": (1, 8), "mambaout_tiny": (4,), "vit_base": (2,)}
FULL_BATCHES = {"mambaout_femto": (1, 2, 4, 8, 16, 32), "mambaout_tiny": (1, 4, 16), "vit_base": (1, 4, 8)}


@dataclass(frozen=True, slots=True)
class Point:
    """One way to run an encoder: so many threads, each with a batch of its own, computing on so many cores."""

    precision: str
    runners: int
    threads: int
    batch: int


def run(form: Form) -> None:
    """Measures all encoders on the CPU."""
    import torch

    from benchmarks.pipeline import open_encoder
    from slicebank_models.inference import has_native_bfloat16
    from slicebank_worker.allocator import keep_freed_memory

    keep_freed_memory()
    cores = len(os.sched_getaffinity(0))
    precisions = ("fp32", "bf16") if has_native_bfloat16(torch.device("cpu")) else ("fp32",)
    rounds, seconds = form.pick(2, 3), form.pick(1, 2)
    figures: dict[str, Any] = {"gemm_gflops": {"fp32": None, "bf16": None}, "encoders": {}}
    gemms: dict[str, list[float]] = {precision: [] for precision in precisions}
    for name in ENCODERS:
        encoders = {p: open_encoder(f"{name}.untrained", "fp32" if p == "fp32" else "standard") for p in precisions}
        points = [Point(p, r, t, b) for p in precisions for r, t, b in _ways(name, cores, form)]
        rates: dict[Point, list[float]] = {point: [] for point in points}
        for _ in range(rounds):
            for precision in precisions:
                gemms[precision].append(_gemm_gflops(precision, cores))
            for point in points:
                rates[point].append(_rows_per_s(encoders[point.precision].encode, point, seconds))
        figures["encoders"][name] = _summary(name, rates)
    for precision in precisions:
        figures["gemm_gflops"][precision] = statistics.median(gemms[precision])
    for name in ENCODERS:
        best = figures["encoders"][name]["best"]
        gflops = best["rows_per_s"] * figures["encoders"][name]["gflop_per_row"]
        best["of_gemm"] = gflops / figures["gemm_gflops"][best["precision"]]
        print(name, best)
    print(save("encoder_alone", __doc__ or "", figures, form))


def best_rows_per_s(encoder: Any, batches: tuple[int, ...], seconds: float) -> float:
    """The encoder's own rate with one runner a core, at the best of some batch sizes: what others are compared with."""
    cores = len(os.sched_getaffinity(0))
    return max(_rows_per_s(encoder.encode, Point("", cores, 1, batch), seconds) for batch in batches)


def _ways(name: str, cores: int, form: Form) -> list[tuple[int, int, int]]:
    together, apart = (1, cores), (cores, 1)
    batches = SHORT_BATCHES[name] if form is Form.SHORT else FULL_BATCHES[name]
    return [(*apart, batch) for batch in batches] + [(*together, batches[-1])]


def _rows_per_s(encode: Callable[[Any], Any], point: Point, seconds: float) -> float:
    """Rows a second of several threads that encode batches of their own for some seconds, each at least two."""
    import torch

    rows = np.random.default_rng(0).integers(0, 256, (point.batch, INPUT_SIZE, INPUT_SIZE), dtype=np.uint8)
    done = [0.0] * point.runners
    ready = threading.Barrier(point.runners)

    def work(number: int) -> None:
        torch.set_num_threads(point.threads)
        encode(rows)
        ready.wait()
        started, batches = time.perf_counter(), 0
        while batches < 2 or time.perf_counter() - started < seconds:
            encode(rows)
            batches += 1
        done[number] = batches * point.batch / (time.perf_counter() - started)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(point.runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def _gemm_gflops(precision: str, cores: int) -> float:
    """The faster of one product on all cores and one product on each."""
    import torch

    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    left, right = (torch.randn(CPU_GEMM, CPU_GEMM).to(dtype) for _ in range(2))
    rates = [
        _rows_per_s(lambda _: torch.mm(left, right), Point(precision, *way, 1), 1.0) for way in ((1, cores), (cores, 1))
    ]
    return max(rates) * 2 * CPU_GEMM**3 / 1e9


def _summary(name: str, rates: dict[Point, list[float]]) -> dict[str, Any]:
    points = [
        {
            "precision": point.precision,
            "runners": point.runners,
            "threads": point.threads,
            "batch": point.batch,
            "rows_per_s": statistics.median(values),
        }
        for point, values in rates.items()
    ]
    return {
        "gflop_per_row": gflop_per_row(name),
        "points": points,
        "best": dict(max(points, key=lambda p: p["rows_per_s"])),
    }  # type: ignore[arg-type,return-value]


def gflop_per_row(name: str) -> float:
    """Floating-point operations of one row in convolutions, linear layers and attention, in 10^9; a multiply-add counts as two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from slicebank_models.loading import load_encoder
    from slicebank_models.registry import EncoderRegistry

    module = load_encoder(EncoderRegistry(None).get(f"{name}.untrained"))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(torch.zeros((1, INPUT_SIZE, INPUT_SIZE), dtype=torch.uint8))
    return float(counter.get_total_flops()) / 1e9


def run_on_gpu(form: Form) -> None:
    """Measures all encoders on the first CUDA device; rows are on the device already."""
    import torch

    from benchmarks.pipeline import open_encoder

    device = torch.device("cuda:0")
    gpu = torch.cuda.get_device_name(device)
    figures: dict[str, Any] = {"gemm_gflops": {}, "encoders": {}}
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(GPU_GEMM, GPU_GEMM, device=device).to(dtype) for _ in range(2))
        seconds = cuda_seconds(lambda left=left, right=right: torch.mm(left, right), form)  # type: ignore[misc]
        figures["gemm_gflops"][precision] = 2 * GPU_GEMM**3 / seconds / 1e9
    for name in ENCODERS:
        points = []
        for precision in ("fp32", "bf16"):
            encoder = open_encoder(f"{name}.untrained", "fp32" if precision == "fp32" else "standard", device)
            for batch in (32, 64, 128, 256, 512):
                rows = torch.randint(0, 256, (batch, INPUT_SIZE, INPUT_SIZE), dtype=torch.uint8, device=device)
                seconds = cuda_seconds(lambda encoder=encoder, rows=rows: encoder.features(rows), form)  # type: ignore[misc]
                points.append(
                    {"precision": precision, "runners": 1, "threads": 1, "batch": batch, "rows_per_s": batch / seconds}
                )
        best = dict(max(points, key=lambda point: point["rows_per_s"]))  # type: ignore[arg-type,return-value]
        flops = gflop_per_row(name)
        best["of_gemm"] = best["rows_per_s"] * flops / figures["gemm_gflops"][best["precision"]]  # type: ignore[operator,index]
        figures["encoders"][name] = {"gflop_per_row": flops, "points": points, "best": best}
        print(name, best)
    print(save("encoder_alone", __doc__ or "", figures, form, gpu=gpu))


def cuda_seconds(call: Callable[[], object], form: Form) -> float:
    """Median seconds of a call on the device."""
    import torch

    times = []
    for turn in range(form.pick(8, 30) + 3):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        call()
        ended.record()
        ended.synchronize()
        if turn >= 3:  # the first ones choose algorithms
            times.append(begun.elapsed_time(ended) / 1e3)
    return statistics.median(times)


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
