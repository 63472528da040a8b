"""Would int8 (weights and activations) be accurate and fast enough to be offered as a precision?

Accuracy is simulated and so the same on any machine: the linear layers of all blocks multiply int8 by int8 into exact sums, weights scaled by output channel,
activations by token (the finest scales that int8 kernels offer); everything else stays float32. Cosines are between features of int8 and of float32, minus the
mean feature of their window; those of bfloat16 stand beside. Speed is that of the same layers alone in oneDNN's int8 kernels against bfloat16, on processors that have both
(AVX-512 VNNI and BF16); elsewhere it is not measured. To be offered, int8 has to be 1.4 times as fast as bfloat16 with cosines of at least 0.999.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import write_series
from benchmarks.record import machine, save
from benchmarks.timing import take_turns

ENCODERS = ("mambaout_femto", "mambaout_tiny", "vit_base")
LEVELS = 127.0
TOKENS = 3136  # 16 rows of 14 x 14 tokens
NEEDED_COSINE, NEEDED_SPEED = 0.999, 1.4


def run(form: Form) -> None:
    """Measures accuracy, and speed where the processor can."""
    encoders = ENCODERS[:1] if form is Form.SHORT else ENCODERS
    with tempfile.TemporaryDirectory() as scratch:
        rows = _rows(Path(scratch), form.pick(6, 24))
    figures: dict[str, Any] = {"rows": sum(map(len, rows)), "encoders": {}}
    for name in encoders:
        accuracy = _accuracy(name, rows)
        figures["encoders"][name] = {**accuracy, "speed_over_bf16": _speed(name, form)}
        print(name, figures["encoders"][name])
    figures["needed"] = {"cosine": NEEDED_COSINE, "speed_over_bf16": NEEDED_SPEED}
    figures["accurate_enough"] = all(e["cosine_min"] >= NEEDED_COSINE for e in figures["encoders"].values())
    print(save("int8", __doc__ or "", figures, form))


def _rows(folder: Path, slices: int) -> list[np.ndarray[Any, Any]]:
    """For each window, (slices, 224, 224) uint8 rows of one series."""
    from benchmarks.pipeline import INPUT_SIZE, WINDOWS
    from benchmarks.slices import read_stack
    from slicebank_imaging.pixels import SliceLoader
    from slicebank_imaging.resize import resize_gray8

    series = write_series(folder, slices, seed=7)
    stack, loader = read_stack(series.folder), SliceLoader(series.folder)
    loaded = [loader.load(ref) for ref in stack.slices]
    return [np.stack([resize_gray8(ct.render(window), INPUT_SIZE) for ct in loaded]) for window in WINDOWS]


def _linear_layers(module: Any) -> Iterator[Any]:
    from torch import nn

    return (layer for layer in module.block_matrices() if isinstance(layer, nn.Linear))


def _accuracy(name: str, rows: list[np.ndarray[Any, Any]]) -> dict[str, float]:
    import torch

    from slicebank_models.loading import load_encoder
    from slicebank_models.registry import EncoderRegistry

    module = load_encoder(EncoderRegistry(None).get(f"{name}.untrained"))
    exact = [_features(module, window) for window in rows]
    low = load_encoder(EncoderRegistry(None).get(f"{name}.untrained"))
    low.lower(torch.bfloat16)
    bf16 = _cosines(exact, [_features(low, window) for window in rows])
    linear = torch.nn.functional.linear
    for layer in _linear_layers(module):
        scale = layer.weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / LEVELS
        layer.weight.copy_((layer.weight / scale).round() * scale)

    def quantised(tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        scale = tokens.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / LEVELS
        return linear(torch.round(tokens / scale) * scale, weight, bias)

    torch.nn.functional.linear = quantised
    try:
        found = [_features(module, window) for window in rows]
    finally:
        torch.nn.functional.linear = linear
    int8 = _cosines(exact, found)
    return {
        "cosine_min": float(int8.min()),
        "cosine_mean": float(int8.mean()),
        "bf16_cosine_min": float(bf16.min()),
        "bf16_cosine_mean": float(bf16.mean()),
    }


def _features(module: Any, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import torch

    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(rows[at : at + 4])).numpy() for at in range(0, len(rows), 4)])


def _cosines(exact: list[np.ndarray[Any, Any]], found: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Of all rows, each minus the mean of its window."""
    return np.concatenate([_centred_cosines(a, b) for a, b in zip(exact, found, strict=True)])


def _centred_cosines(exact: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    left, right = (values.astype(np.float64) - exact.mean(axis=0) for values in (exact, found))
    cosines: np.ndarray[Any, Any] = (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    return cosines


def _speed(name: str, form: Form) -> float | None:
    """Time of all linear layers in bfloat16 over their time in int8, on one thread; None where a kernel is missing."""
    if machine()["class"] not in ("avx512-bf16", "amx-bf16"):
        return None
    import torch

    from slicebank_models.loading import load_encoder
    from slicebank_models.registry import EncoderRegistry

    torch.set_num_threads(1)
    module = load_encoder(EncoderRegistry(None).get(f"{name}.untrained"))
    shapes = sorted({tuple(layer.weight.shape) for layer in _linear_layers(module)})
    count = {shape: sum(tuple(layer.weight.shape) == shape for layer in _linear_layers(module)) for shape in shapes}
    seconds = {"bf16": 0.0, "int8": 0.0}
    for out_features, in_features in shapes:
        timings = take_turns(_both_kernels(out_features, in_features), form.pick(5, 15))
        for kind, timing in timings.items():
            seconds[kind] += count[out_features, in_features] * timing.median
    return seconds["bf16"] / seconds["int8"]


def _both_kernels(out_features: int, in_features: int) -> dict[str, Any]:
    import torch

    tokens, weight = torch.randn(TOKENS, in_features), torch.randn(out_features, in_features)
    low_tokens, low_weight = tokens.bfloat16(), weight.bfloat16()
    whole = torch.randint(0, 255, tokens.shape, dtype=torch.uint8)
    packed = torch.ops.onednn.qlinear_prepack(
        torch.randint(-127, 127, weight.shape, dtype=torch.int8), list(tokens.shape)
    )
    scales, zeros = torch.full((out_features,), 0.01), torch.zeros(out_features, dtype=torch.int64)

    def int8() -> Any:
        return torch.ops.onednn.qlinear_pointwise(
            whole, 0.01, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )

    return {"bf16": lambda: torch.nn.functional.linear(low_tokens, low_weight), "int8": int8}


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
