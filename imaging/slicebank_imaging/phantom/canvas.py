"""Painting soft-edged ellipses of Hounsfield units onto one slice."""

import math

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.phantom.spec import PhantomSpec

Plane = NDArray[np.float32]
EDGE_MM = 1.6  # blur of an edge: the point spread of a standard kernel together with partial volume


class Canvas:
    """One slice in HU, with the body coordinates of its pixels after a smooth deformation.

    Attributes:
        hu: (rows, columns), HU.
        x: (rows, columns), deformed position to the patient's left, mm.
        y: (rows, columns), deformed position to the back, mm.
    """

    def __init__(self, spec: PhantomSpec, shift_x: Plane, shift_y: Plane) -> None:
        axis = spec.first_xy_mm + spec.pixel_mm * np.arange(spec.size, dtype=np.float32)
        self._axis = axis
        self._pixel = spec.pixel_mm
        self._reach = float(max(np.abs(shift_x).max(), np.abs(shift_y).max())) + 3.0 * EDGE_MM
        self.x: Plane = axis[None, :] + shift_x[:, None]
        self.y: Plane = axis[:, None] + shift_y[None, :]
        self.hu: Plane = np.full((spec.size, spec.size), -1000.0, dtype=np.float32)

    def box(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within `reach` mm of a point."""
        reach += self._reach
        return self._range(y, reach), self._range(x, reach)

    def _range(self, centre: float, reach: float) -> slice:
        first = int((centre - reach - float(self._axis[0])) / self._pixel)
        last = int((centre + reach - float(self._axis[0])) / self._pixel) + 2
        return slice(min(max(first, 0), self._axis.size), min(max(last, 0), self._axis.size))

    def cover(
        self, x: float, y: float, radius_x: float, radius_y: float, *, angle: float = 0.0, edge_mm: float = EDGE_MM
    ) -> tuple[tuple[slice, slice], Plane]:
        """The part of the slice around an ellipse, and how much of each pixel it covers, 0 to 1.

        Args:
            x: Centre, mm.
            y: Centre, mm.
            radius_x: Half-axis along x before the turn, mm.
            radius_y: Half-axis along y before the turn, mm.
            angle: Turn from x towards y, radians.
            edge_mm: Width of the edge.
        """
        where = self.box(x, y, max(radius_x, radius_y))
        dx, dy = self.x[where] - np.float32(x), self.y[where] - np.float32(y)
        if angle:
            cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
            dx, dy = dx * cosine + dy * sine, dy * cosine - dx * sine
        dx *= np.float32(1.0 / radius_x)
        dy *= np.float32(1.0 / radius_y)
        distance = np.sqrt(dx * dx + dy * dy)
        return where, self._soft(distance, min(radius_x, radius_y), edge_mm)

    @staticmethod
    def _soft(distance: Plane, radius: float, edge_mm: float) -> Plane:
        cover = (np.float32(1.0) - distance) * np.float32(radius / edge_mm) + np.float32(0.5)
        return np.clip(cover, 0.0, 1.0, out=cover)

    def blend(self, where: tuple[slice, slice], cover: Plane, hu: float | Plane) -> None:
        """Mix a value, or a plane of values, into a part of the slice."""
        part = self.hu[where]
        part += cover * (hu - part)

    def ellipse(
        self,
        x: float,
        y: float,
        radius_x: float,
        radius_y: float,
        hu: float,
        *,
        angle: float = 0.0,
        edge_mm: float = EDGE_MM,
    ) -> None:
        """Paint an ellipse; see `cover`. Half-axes below half a pixel paint nothing."""
        if min(radius_x, radius_y) < 0.3:
            return
        where, cover = self.cover(x, y, radius_x, radius_y, angle=angle, edge_mm=edge_mm)
        self.blend(where, cover, hu)


def cut(z: float, centre: float, radius: float) -> float:
    """Scale (0 to 1) of the cross-section that a plane at height z cuts from an ellipsoid."""
    distance = (z - centre) / radius
    return math.sqrt(1.0 - distance * distance) if abs(distance) < 1.0 else 0.0


def step(z: float, low: float, high: float) -> float:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = min(1.0, max(0.0, (z - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)
