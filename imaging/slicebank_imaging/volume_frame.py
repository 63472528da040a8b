"""Where a stack of slices lies, and the volume that a scan encoder reads: which array axis follows which axis of the stack.

A stack is taken as a straight box: its slices follow each other along their normal. An oblique stack keeps its own axes, each named
after the patient's axis it is nearest to, as `nibabel` orients volumes and MONAI resamples them. A gantry's tilt is ignored: the small
steps of such slices sideways, tan(tilt) times the distance, are not undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise, permutations
from statistics import median
from typing import Any, NamedTuple, Self

import numpy as np

from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.placement import Orientation, normal_of

# LPS+: what the three patient axes are called where they grow, and where they fall.
_NAMES = (("L", "R"), ("P", "A"), ("S", "I"))
_PIXEL_MM = 1.0  # of a slice without PixelSpacing; the field of view of bags counts the same


class Convention(StrEnum):
    """How voxels are read between pixels and slices; see `volume_sampling`."""

    MONAI = "monai"
    TORCH_TRILINEAR = "torch_trilinear"


@dataclass(frozen=True, slots=True)
class VolumeFrame:
    """The volume that is wanted. Triples follow the array's axes.

    Attributes:
        axes: where each axis of the array points as its index grows: R or L, A or P, S or I, in any order.
        spacing_mm: distance of neighbouring voxels.
        size: voxels.
        hu: lowest and highest HU; what lies outside is clipped.
        scaled_to: what these two become.
        pad: value, after scaling, of voxels outside the scan.
        convention: of the interpolation.
    """

    axes: str
    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]
    hu: tuple[float, float]
    scaled_to: tuple[float, float]
    pad: float
    convention: Convention

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Reads the `volume` of a recipe, whose `resampling` names the convention."""
        spacing, size = value["spacing_mm"], value["size"]
        return cls(
            axes=str(value["axes"]),
            spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            size=(int(size[0]), int(size[1]), int(size[2])),
            hu=(float(value["hu"][0]), float(value["hu"][1])),
            scaled_to=(float(value["scaled_to"][0]), float(value["scaled_to"][1])),
            pad=float(value["pad"]),
            convention=Convention(value["resampling"]),
        )


@dataclass(frozen=True, slots=True)
class StackPlace:
    """What is known of a stack's place.

    Attributes:
        rows: of a slice.
        columns: of a slice.
        pixel_spacing_mm: between rows and between columns.
        orientation: direction cosines of a row and of a column, LPS.
        z_mm: of each slice along the normal, rising.
        thickness_mm: of a slice; stands for the spacing where there is only one slice.
    """

    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float]
    orientation: Orientation
    z_mm: tuple[float, ...]
    thickness_mm: float | None = None

    def __post_init__(self) -> None:
        if not self.z_mm or any(above <= below for below, above in pairwise(self.z_mm)):
            raise DecodeFailed("the slices of the stack do not rise along its normal; upload the series again")

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Self:
        """Reads a job's manifest: its `geometry` (docs/geometry.md), matrix and slices."""
        geometry = manifest["geometry"]
        row_mm, column_mm = geometry["pixel_spacing_mm"] or (_PIXEL_MM, _PIXEL_MM)
        x, y, z, u, v, w = (float(value) for value in geometry["orientation"])
        thicknesses = geometry["slice_thickness_mm"]
        return cls(
            rows=int(manifest["rows"]),
            columns=int(manifest["columns"]),
            pixel_spacing_mm=(float(row_mm), float(column_mm)),
            orientation=(x, y, z, u, v, w),
            z_mm=tuple(float(item["z_mm"]) for item in manifest["slices"]),
            thickness_mm=float(median(thicknesses)) if thicknesses else None,
        )

    @property
    def extent_mm(self) -> float:
        """From the first slice to the last."""
        return self.z_mm[-1] - self.z_mm[0]

    @property
    def spacing_mm(self) -> float | None:
        """The middle of the distances between slices; None where there is only one slice."""
        return median(above - below for below, above in pairwise(self.z_mm)) if len(self.z_mm) > 1 else None


class AxisMatch(NamedTuple):
    """Which axis of the array follows an axis of the stack.

    Attributes:
        array_axis: 0 to 2.
        reversed: the array counts against the stack.
    """

    array_axis: int
    reversed: bool


class StackAxes(NamedTuple):
    """Of the slices (along the normal, rising), of the rows in a slice, and of the columns in a row."""

    slices: AxisMatch
    rows: AxisMatch
    columns: AxisMatch


def match_axes(orientation: Orientation, axes: str) -> StackAxes:
    """Finds the array axis of every stack axis: the assignment with the largest cosines in sum.

    Args:
        orientation: direction cosines of a row and of a column, LPS.
        axes: of the volume, such as RAS.
    """
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    # Columns are counted along a row, rows along a column.
    directions = np.stack([normal_of(orientation), along_column, along_row])
    best = max(permutations(range(3)), key=lambda order: sum(abs(directions[i, order[i]]) for i in range(3)))
    return StackAxes(*(_match(directions[axis], patient, axes) for axis, patient in enumerate(best)))


def _match(direction: np.ndarray[Any, Any], patient: int, axes: str) -> AxisMatch:
    growing, falling = _NAMES[patient]
    array_axis = axes.index(growing) if growing in axes else axes.index(falling)
    return AxisMatch(array_axis, bool(direction[patient] > 0) != (axes[array_axis] == growing))
