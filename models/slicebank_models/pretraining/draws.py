"""What chance decides about the two views of every slice of a batch, drawn from (seed, step) and from nothing else.

The draws are made for the whole batch of all processes, on the CPU, and each slice's do not depend on how many slices
there are, what they show, or what other augmentations are switched on. So one process and many, a run and its
resumption, two methods and two strengths of one augmentation all see the same chance.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicebank_models.pretraining.spec import ViewSettings

# Tries at a crop that fits, as torchvision's RandomResizedCrop; then the whole slice. At the paper's settings one try in
# seven does not fit, so that the whole slice comes so once in 3 * 10**8.
CROP_TRIES = 10

_PER_VIEW = 10 + 2 * CROP_TRIES
_PER_SLICE = 3
# Keeps the stream apart from others that are keyed by seed and a count, such as the order of the slices.
_STREAM = int.from_bytes(b"views", "big")

Uniform = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ViewDraws:
    """Draws of n slices; second axis: view 1, view 2.

    Attributes:
        window: (n, 2) int64, place in `ViewSettings.windows`.
        crop: (n, 2, 4) float32, a random crop as shares of the side: row_start, column_start, row_stop, column_stop.
        flip: (n, 2) bool.
        brightness: (n, 2) float32, factor; 1 where the view keeps its own.
        contrast: (n, 2) float32, factor; 1 where the view keeps its own.
        sigma: (n, 2) float32, standard deviation of the blur, pixels of a view of 224; 0 for none.
        solarise: (n, 2) bool.
        box: (n,) float32, uniform in [0, 1]: which of its boxes a lesion view shows.
        lesion_size: (n, 2) float32, height and width of a lesion view before it is clipped, shares of the side.
    """

    window: Tensor
    crop: Tensor
    flip: Tensor
    brightness: Tensor
    contrast: Tensor
    sigma: Tensor
    solarise: Tensor
    box: Tensor
    lesion_size: Tensor

    def __len__(self) -> int:
        return self.window.shape[0]

    def part(self, start: int, stop: int) -> "ViewDraws":
        """Draws of the slices from start to before stop, sharing memory."""
        return ViewDraws(**{entry.name: getattr(self, entry.name)[start:stop] for entry in fields(self)})

    def to(self, device: torch.device | str) -> "ViewDraws":
        """Copies everything."""
        return ViewDraws(
            **{entry.name: getattr(self, entry.name).to(device, non_blocking=True) for entry in fields(self)}
        )


def draw_views(settings: ViewSettings, n: int, *, seed: int, step: int) -> ViewDraws:
    """Draws for the n slices of step `step`'s global batch, on the CPU.

    Philox is keyed by (seed, step), so that any step's draws can be had without those before it.

    Args:
        settings: Probabilities and ranges.
        n: Slices of the global batch; a process takes its `part`.
        seed: Of the run.
        step: Of the optimiser, from 0.
    """
    stream = np.random.Philox(key=np.array([seed, step], np.uint64), counter=np.array([0, 0, 0, _STREAM], np.uint64))
    uniform = np.random.Generator(stream).random((n, 2 * _PER_VIEW + _PER_SLICE))
    views, whole = uniform[:, : 2 * _PER_VIEW].reshape(n, 2, _PER_VIEW), uniform[:, 2 * _PER_VIEW :]
    window, row, column, flip, jitter, brightness, contrast, blur, sigma, solarise = np.moveaxis(views[..., :10], -1, 0)

    chosen = np.floor(window * len(settings.windows)).astype(np.int64)
    if settings.same_window:
        chosen[:, 1] = chosen[:, 0]
    jittered = jitter < settings.jitter
    low, high = settings.blur_sigma
    smallest = math.sqrt(settings.crop_min)
    return ViewDraws(
        window=torch.from_numpy(chosen),
        crop=_float32(_random_crops(settings, views[..., 10:], row, column)),
        flip=torch.from_numpy(flip < settings.flip),
        brightness=_float32(np.where(jittered, 1.0 + settings.brightness * (2.0 * brightness - 1.0), 1.0)),
        contrast=_float32(np.where(jittered, 1.0 + settings.contrast * (2.0 * contrast - 1.0), 1.0)),
        sigma=_float32(np.where(blur < np.asarray(settings.blur), low + (high - low) * sigma, 0.0)),
        solarise=torch.from_numpy(solarise < np.asarray(settings.solarise)),
        box=_float32(whole[:, 0]),
        lesion_size=_float32(smallest + (1.0 - smallest) * whole[:, 1:]),
    )


def _random_crops(settings: ViewSettings, tries: Uniform, row: Uniform, column: Uniform) -> Uniform:
    """Crops of a square as torchvision's RandomResizedCrop draws them, without its rounding to whole pixels.

    The area is uniform in [crop_min, 1], the logarithm of width / height uniform within crop_ratio, the place uniform;
    the first try counts whose sides both fit.

    Args:
        settings: crop_min and crop_ratio.
        tries: (..., 2 * CROP_TRIES) uniform: areas, then ratios.
        row: (...) uniform.
        column: (...) uniform.

    Returns:
        (..., 4) row_start, column_start, row_stop, column_stop, shares of the side.
    """
    area = settings.crop_min + (1.0 - settings.crop_min) * tries[..., :CROP_TRIES]
    ratio = np.exp(math.log(settings.crop_ratio) * (2.0 * tries[..., CROP_TRIES:] - 1.0))
    heights, widths = np.sqrt(area / ratio), np.sqrt(area * ratio)
    fits = (heights <= 1.0) & (widths <= 1.0)
    first = np.argmax(fits, axis=-1)[..., None]
    some = fits.any(axis=-1)
    height = np.where(some, np.take_along_axis(heights, first, -1)[..., 0], 1.0)
    width = np.where(some, np.take_along_axis(widths, first, -1)[..., 0], 1.0)
    row_start, column_start = row * (1.0 - height), column * (1.0 - width)
    return np.stack([row_start, column_start, row_start + height, column_start + width], axis=-1)


def _float32(values: Uniform) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
