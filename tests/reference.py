"""The whole way from DICOM to features once more, slow and obvious, sharing no code with the product.

pydicom's pixels, HU, window, 8 bit, PIL's antialiased bilinear, one image at a time in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

ABDOMEN = (-175.0, 275.0)
LUNG = (-1500.0, 500.0)
IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))

Resize = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]


@dataclass(frozen=True)
class ReferenceSlice:
    sop_instance_uid: str
    position: float
    hu: NDArray[np.float64]


def read_slices(files: Iterable[Path]) -> list[ReferenceSlice]:
    """Slices of single-frame CT files, inferior to superior."""
    slices = []
    for path in files:
        ds = pydicom.dcmread(path, force=True)
        row, column = np.array(ds.ImageOrientationPatient[:3], float), np.array(ds.ImageOrientationPatient[3:], float)
        position = float(np.dot(np.cross(row, column), np.array(ds.ImagePositionPatient, float)))
        stored = ds.pixel_array
        hu = stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        if "PixelPaddingValue" in ds:
            ends = sorted({int(ds.PixelPaddingValue), int(ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue))})
            hu[(stored >= ends[0]) & (stored <= ends[-1])] = -2048
        uid = str(ds.get("SOPInstanceUID", "") or ds.file_meta.MediaStorageSOPInstanceUID)
        slices.append(ReferenceSlice(uid, position, hu))
    return sorted(slices, key=lambda s: s.position)


def gray8(hu: NDArray[np.float64], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    return np.floor(255 * np.clip((hu - low) / (high - low), 0, 1) + 0.5).astype(np.uint8)


def bilinear(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def nearest(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST))


def make_rows(
    slices: list[ReferenceSlice],
    windows: tuple[tuple[float, float], ...] = (ABDOMEN, LUNG),
    resize: Resize = bilinear,
    size: int = 224,
) -> NDArray[np.uint8]:
    """Rows (slice * W + window, size, size) of 8-bit images."""
    return np.stack([resize(gray8(s.hu, window), size) for s in slices for window in windows])


def forward(
    rows: NDArray[np.uint8], network: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Features, one image at a time: network takes (1, 3, size, size)."""
    mean, std = (v[:, None, None] for v in IMAGENET)
    features = [network((((np.stack([row] * 3) / 255.0) - mean) / std)[None].astype(np.float32))[0] for row in rows]
    return np.asarray(features, dtype=np.float64)


@dataclass(frozen=True)
class Agreement:
    """How alike two sets of features are, row by row.

    worst_cosine: the smallest cosine between a row and its reference, each window's mean feature taken out first (the mean is of the
    reference rows for both, so that a shift common to all rows counts).
    nearest_is_own: share of rows whose nearest reference row is their own.
    """

    worst_cosine: float
    nearest_is_own: float


def compare(features: NDArray[np.float32], reference: NDArray[np.float64], n_windows: int = 2) -> Agreement:
    ours, theirs = features.astype(np.float64), reference.copy()
    for window in range(n_windows):
        mean = theirs[window::n_windows].mean(0)
        ours[window::n_windows] -= mean
        theirs[window::n_windows] -= mean
    cosines = (ours * theirs).sum(1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    distances = ((ours[:, None] - theirs[None]) ** 2).sum(-1)
    return Agreement(float(cosines.min()), float((distances.argmin(1) == np.arange(len(ours))).mean()))
