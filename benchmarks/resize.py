"""What is the fastest way to resize that stays within 1 grey level of Pillow's antialiased bilinear on 8 bits?

Every candidate makes the two rows (224 x 224) of a slice from its two windowed 8-bit images, on one thread, stacking
and conversions counted. Libraries that are not installed are left out; none of them is needed by slicebank.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.form import Form, form_from_arguments
from benchmarks.timing import take_turns
from slicebank_imaging.phantom import PhantomSpec, make_phantom
from slicebank_imaging.resize import resize_gray8, resize_plan
from slicebank_imaging.windows import NAMED, render_gray8

SIZE = 224
ODD = (333, 271)
NOW = "Pillow"
TOLERANCE = 1  # grey levels
SEED = 33

Images = Sequence[NDArray[np.uint8]]
Candidate = Callable[[Images], NDArray[np.uint8]]


def geometry(shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rows and columns of the resized image, then the first row and column of the 224 x 224 crop."""
    down, across = resize_plan(*shape, SIZE)
    return down.resized, across.resized, down.first, across.first


@lru_cache
def coefficients(n_in: int, n_out: int) -> NDArray[np.float64]:
    """(n_out, n_in) weights of Pillow's bilinear filter, widened when it shrinks: one row an output pixel, sum 1."""
    scale = n_in / n_out
    support = max(scale, 1.0)
    weights = np.zeros((n_out, n_in))
    for index in range(n_out):
        centre = (index + 0.5) * scale
        first, end = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), n_in)
        triangle = np.maximum(0.0, 1.0 - np.abs((np.arange(first, end) - centre + 0.5) / support))
        weights[index, first:end] = triangle / triangle.sum()
    return weights


@lru_cache
def cropped_coefficients(shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(224, rows) and (224, columns): the weights of the pixels that the crop keeps."""
    height, width, top, left = geometry(shape)
    down = coefficients(shape[0], height)[top : top + SIZE].astype(np.float32)
    across = coefficients(shape[1], width)[left : left + SIZE].astype(np.float32)
    return down, across


def pillow_candidates() -> dict[str, Candidate]:
    """Pillow as the definition has it, and with a coarse first step."""

    def now(images: Images) -> NDArray[np.uint8]:
        return np.stack([resize_gray8(image, SIZE) for image in images])

    def reducing(images: Images) -> NDArray[np.uint8]:
        height, width, top, left = geometry(images[0].shape)
        return np.stack(
            [
                np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0))[
                    top : top + SIZE, left : left + SIZE
                ]
                for image in images
            ]
        )

    return {NOW: now, "Pillow, reducing_gap=1": reducing}


def torch_candidates() -> dict[str, Candidate]:
    """torch's and torchvision's antialiased resize."""
    import torch
    from torch.nn import functional as F
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2.functional import resize

    def stacked(images: Images) -> torch.Tensor:
        return torch.from_numpy(np.stack(images))

    def shrink(tensor: torch.Tensor) -> torch.Tensor:
        height, width, top, left = geometry((tensor.shape[-2], tensor.shape[-1]))
        resized = F.interpolate(tensor, (height, width), mode="bilinear", antialias=True)
        return resized[..., top : top + SIZE, left : left + SIZE].contiguous()

    def channels(images: Images) -> NDArray[np.uint8]:
        return shrink(stacked(images)[None])[0].numpy()

    def channels_last(images: Images) -> NDArray[np.uint8]:
        rows: NDArray[np.uint8] = shrink(stacked(images)[None].contiguous(memory_format=torch.channels_last))[0].numpy()
        return rows

    def alone(images: Images) -> NDArray[np.uint8]:
        return shrink(stacked(images)[:, None])[:, 0].numpy()

    def single_precision(images: Images) -> NDArray[np.uint8]:
        return shrink(stacked(images)[None].float()).add_(0.5).to(torch.uint8)[0].numpy()

    def torchvision(images: Images) -> NDArray[np.uint8]:
        height, width, top, left = geometry(images[0].shape)
        resized = resize(stacked(images), [height, width], InterpolationMode.BILINEAR, antialias=True)
        return resized[:, top : top + SIZE, left : left + SIZE].contiguous().numpy()

    return {
        "torch uint8, windows as channels": channels,
        "torch uint8, windows as channels, channels last": channels_last,
        "torch uint8, one window at a time": alone,
        "torch float32, windows as channels": single_precision,
        "torchvision v2, windows as channels": torchvision,
    }


def product_candidates() -> dict[str, Candidate]:
    """Two products with Pillow's coefficients: across first, then down, as Pillow goes."""
    import torch
    from scipy.sparse import csr_matrix

    half = np.float32(0.5)

    def dense(images: Images) -> NDArray[np.uint8]:
        down, across = cropped_coefficients(images[0].shape)
        return (down @ (np.stack(images).astype(np.float32) @ across.T) + half).astype(np.uint8)

    def dense_rounded(images: Images) -> NDArray[np.uint8]:
        down, across = cropped_coefficients(images[0].shape)
        between = np.floor(np.stack(images).astype(np.float32) @ across.T + half)
        return (down @ between + half).astype(np.uint8)

    def in_torch(images: Images, *, rounded: bool) -> NDArray[np.uint8]:
        down, across = (torch.from_numpy(weights) for weights in cropped_coefficients(images[0].shape))
        between = torch.from_numpy(np.stack(images)).float() @ across.T
        if rounded:
            between.add_(0.5).floor_()
        return (down @ between).add_(0.5).to(torch.uint8).numpy()

    @lru_cache
    def sparse_weights(shape: tuple[int, int]) -> tuple[Any, Any]:
        down, across = cropped_coefficients(shape)
        return csr_matrix(down), csr_matrix(across)

    def sparse(images: Images) -> NDArray[np.uint8]:
        down, across = sparse_weights(images[0].shape)
        floats = (image.astype(np.float32) for image in images)
        return np.stack([down @ np.ascontiguousarray((across @ image.T).T) + half for image in floats]).astype(np.uint8)

    return {
        "NumPy matrix products": dense,
        "NumPy matrix products, rounded between": dense_rounded,
        "torch matrix products": lambda images: in_torch(images, rounded=False),
        "torch matrix products, rounded between": lambda images: in_torch(images, rounded=True),
        "SciPy sparse products": sparse,
    }


def other_candidates() -> dict[str, Candidate]:
    """OpenCV where it is installed: its linear does not antialias, and its area averages boxes."""
    found: dict[str, Candidate] = {}

    def each(images: Images, shrink: Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        height, width, top, left = geometry(images[0].shape)
        return np.stack([shrink(image, height, width)[top : top + SIZE, left : left + SIZE] for image in images])

    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        for name, mode in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)):
            found[f"OpenCV, {name}"] = lambda images, mode=mode: each(
                images, lambda image, height, width: cv2.resize(image, (width, height), interpolation=mode)
            )
    return found


def inputs(n_slices: int) -> dict[str, list[list[NDArray[np.uint8]]]]:
    """Name to slices, each its two windowed images."""
    hu = make_phantom(PhantomSpec(seed=SEED, n_slices=n_slices, size=512, slice_spacing_mm=2.5), []).hu
    slices = [[render_gray8(plane, NAMED[name]) for name in ("abdomen", "lung")] for plane in hu]
    noise = np.random.default_rng(SEED).integers(0, 256, (n_slices, 2, 512, 512), dtype=np.uint8)
    rows, columns = ODD
    whole = {"512 x 512 slices": slices, "512 x 512 noise": [list(pair) for pair in noise]}
    odd = {
        name.replace("512 x 512", f"{rows} x {columns}"): [
            [np.ascontiguousarray(image[:rows, :columns]) for image in pair] for pair in pairs
        ]
        for name, pairs in whole.items()
    }
    return whole | odd


def differences(
    candidate: Candidate, images: Mapping[str, list[list[NDArray[np.uint8]]]]
) -> dict[str, dict[str, float]]:
    """Largest and mean difference to Pillow per kind of input, grey levels."""
    found = {}
    for name, pairs in images.items():
        apart = np.abs(
            np.stack([candidate(pair).astype(int) for pair in pairs])
            - np.stack([[resize_gray8(image, SIZE) for image in pair] for pair in pairs])
        )
        found[name] = {"largest": int(apart.max()), "mean": float(apart.mean())}
    return found


def run(form: Form) -> None:
    """Measures every candidate that is installed."""
    import torch
    from threadpoolctl import threadpool_limits

    from benchmarks.record import save

    images = inputs(form.pick(4, 8))
    timed = images["512 x 512 slices"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            candidates = pillow_candidates() | torch_candidates() | product_candidates() | other_candidates()
            timings = take_turns(
                {name: lambda make=make: [make(pair) for pair in timed] for name, make in candidates.items()},
                form.pick(15, 75),
            )
            apart = {name: differences(make, images) for name, make in candidates.items()}
    finally:
        torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for name, timing in timings.items():
        largest = max(found["largest"] for found in apart[name].values())
        rows.append(
            {
                "name": name,
                "ms_per_slice": 1000 * timing.median / len(timed),
                "times_pillow": timings[NOW].median / timing.median,
                "largest": largest,
                "mean": float(np.mean([found["mean"] for found in apart[name].values()])),
                "within_one": largest <= TOLERANCE,
                "differences": apart[name],
            }
        )
    winner = min((row for row in rows if row["within_one"]), key=lambda row: row["ms_per_slice"])
    print(f"fastest within {TOLERANCE}: {winner['name']}, {winner['times_pillow']:.2f} x {NOW}")
    libraries = {name: version(name) for name in ("pillow", "torch", "torchvision", "scipy")}
    figures = {"candidates": rows, "winner": winner["name"], "libraries": libraries}
    print(save("resize", __doc__ or "", figures, form))


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
