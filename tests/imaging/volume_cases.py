"""Stacks for volumes, and where their official volumes are probed: everything by whole-number formulas, the same on any machine."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.placement import normal_of
from slicebank_imaging.volume import VolumeBuilder
from slicebank_imaging.volume_frame import Convention, StackPlace, VolumeFrame

GOLDENS = Path(__file__).parent / "goldens"
PROBES = 400

MERLIN = VolumeFrame("RAS", (1.5, 1.5, 3.0), (224, 224, 160), (-1000, 1000), (0, 1), 0.0, Convention.MONAI)
# Axes of the array in the official code are (k, i, j) of the file as it is; these cases store columns, rows, slices.
CT_CLIP = VolumeFrame(
    "SLP", (1.5, 0.75, 0.75), (240, 480, 480), (-1000, 1000), (-1, 1), -1.0, Convention.TORCH_TRILINEAR
)

Cosines = tuple[float, float, float, float, float, float]
_AXIAL: Cosines = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class VolumeCase:
    """A stack of even spacing, and the volume wanted of it.

    Attributes:
        shape: slices, rows, columns.
        spacing_mm: of slices, rows, columns.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: Cosines
    frame: VolumeFrame

    @property
    def hu(self) -> NDArray[np.float32]:
        """(slices, rows, columns) between -1400 and 1400."""
        k, r, c = np.indices(self.shape)
        return ((k * 7919 + r * 104729 + c * 1299709 + k * r * 31) % 2801 - 1400).astype(np.float32)

    @property
    def stack(self) -> StackPlace:
        n_slices, rows, columns = self.shape
        z_mm = tuple(-123.4 + index * self.spacing_mm[0] for index in range(n_slices))
        return StackPlace(rows, columns, self.spacing_mm[1:], self.orientation, z_mm)

    @property
    def nifti_affine(self) -> NDArray[np.float64]:
        """Of the array (columns, rows, slices), RAS+."""
        affine = np.eye(4)
        steps = (np.array(self.orientation[:3]), np.array(self.orientation[3:]), normal_of(self.orientation))
        for axis, (step, spacing) in enumerate(zip(steps, self.spacing_mm[::-1], strict=True)):
            affine[:3, axis] = step * spacing * (-1, -1, 1)
        affine[:3, 3] = (11.0, -7.0, -123.4)
        return affine


def _turned(in_plane_deg: float, tilt_deg: float) -> Cosines:
    a, t = math.radians(in_plane_deg), math.radians(tilt_deg)
    row = (math.cos(a), math.sin(a) * math.cos(t), math.sin(a) * math.sin(t))
    column = (-math.sin(a), math.cos(a) * math.cos(t), math.cos(a) * math.sin(t))
    return (*row, *column)


MERLIN_CASES = (
    VolumeCase("merlin_padded", (24, 50, 61), (1.25, 0.7, 0.7), _AXIAL, MERLIN),
    VolumeCase("merlin_cropped", (25, 41, 60), (25.0, 9.3, 9.1), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), MERLIN),
    VolumeCase("merlin_oblique", (21, 40, 37), (3.0, 1.5005, 2.2), _turned(12.0, 9.0), MERLIN),
    VolumeCase("merlin_swapped", (20, 33, 48), (2.5, 1.1, 0.9), (0.0, 1.0, 0.0, 1.0, 0.0, 0.0), MERLIN),
)
CT_CLIP_CASES = (
    VolumeCase("ct_clip_padded", (20, 36, 41), (2.0, 0.9, 0.9), _AXIAL, CT_CLIP),
    VolumeCase("ct_clip_cropped", (24, 30, 61), (20.3, 9.0, 9.0), _AXIAL, CT_CLIP),
)
CASES = (*MERLIN_CASES, *CT_CLIP_CASES)


def build(case: VolumeCase) -> NDArray[np.float32]:
    """Our volume of a case."""
    builder = VolumeBuilder(case.stack, case.frame)
    for index, hu in enumerate(case.hu):
        builder.add(index, builder.plane(hu))
    return builder.finish()


def box(volume: NDArray[np.float32], pad: float) -> list[list[int]]:
    """Start and stop, per axis, of what is not padding."""
    found = []
    for axis in range(3):
        inside = np.flatnonzero((volume != pad).any(axis=tuple({0, 1, 2} - {axis})))
        found.append([int(inside[0]), int(inside[-1]) + 1])
    return found


def probes(within: list[list[int]], size: tuple[int, int, int]) -> tuple[NDArray[np.intp], ...]:
    """Indices of voxels spread over a box and one voxel around it."""
    steps = np.arange(PROBES)
    return tuple(
        np.clip(start - 1 + (steps * stride + steps // 7) % (stop - start + 2), 0, side - 1)
        for (start, stop), stride, side in zip(within, (7, 11, 13), size, strict=True)
    )


def read_goldens() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDENS / "volumes.json").read_text())
    return found
