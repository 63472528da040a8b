"""From the slices of a stack to the volume that a scan encoder reads, one slice at a time.

Each slice is resampled in its plane as it comes and then lies between two that are kept at a time, so memory is the volume and a few
slices, whatever the length of the scan. A slice that could not be decoded is bridged by its neighbours, like a gap; at an end of the
scan the nearest slice stands for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.volume_frame import Convention, StackPlace, VolumeFrame, match_axes
from slicebank_imaging.volume_sampling import AxisSampling, sample_axis, sample_slices

Plane = NDArray[np.float32]
"""A slice at the pixels that the volume reads: (rows kept, columns kept), HU."""


class VolumeBuilder:
    """Fills one volume. `plane` may be called from several threads, the rest from one."""

    def __init__(self, stack: StackPlace, frame: VolumeFrame) -> None:
        axes = match_axes(stack.orientation, frame.axes)
        self._frame = frame
        self._z_mm = np.array(stack.z_mm) - stack.z_mm[0]
        self._shape = (stack.rows, stack.columns)
        self._rows, self._columns = (
            sample_axis(
                count,
                spacing,
                frame.spacing_mm[match.array_axis],
                frame.size[match.array_axis],
                frame.convention,
                backwards=match.reversed,
            )
            for count, spacing, match in zip(
                self._shape, stack.pixel_spacing_mm, (axes.rows, axes.columns), strict=True
            )
        )
        along = axes.slices.array_axis
        slices = sample_slices(stack, axes.slices, frame.spacing_mm[along], frame.size[along], frame.convention)
        self._volume = np.full(frame.size, frame.pad, np.float32)
        stacked = self._volume.transpose([match.array_axis for match in axes])  # (slices, rows, columns)
        self._inside = stacked[_kept(slices), _kept(self._rows), _kept(self._columns)]
        order = np.argsort(slices.at, kind="stable")
        self._waiting = [(float(slices.at[index]), int(index)) for index in order[::-1]]  # the lowest last
        self._below: tuple[float, Plane] | None = None
        self._last = -1

    def plane(self, hu: NDArray[np.float32]) -> Plane:
        """Resamples one slice in its plane.

        Args:
            hu: (rows, columns) HU.

        Raises:
            DecodeFailed: the slice has another matrix than the stack.
        """
        if hu.shape != self._shape:
            raise DecodeFailed(f"the slice has {hu.shape[0]} x {hu.shape[1]} pixels, the stack {self._shape}")
        if self._frame.convention is Convention.TORCH_TRILINEAR:
            hu = _clipped(hu, self._frame.hu)
        return _linear(_linear(hu, self._rows.at, 0), self._columns.at, 1)

    def add(self, index: int, plane: Plane) -> None:
        """Takes the plane of one slice; slices come from the lowest up, and may be left out.

        Args:
            index: of the slice in the stack.
            plane: what `plane` made of it.

        Raises:
            ValueError: a slice above was there before.
        """
        if index <= self._last:
            raise ValueError(f"slice {index} comes after slice {self._last}")
        self._last = index
        z_mm = float(self._z_mm[index])
        while self._waiting and self._waiting[-1][0] <= z_mm:
            at, place = self._waiting.pop()
            if self._below is None:
                self._write(place, plane)
            else:
                below_mm, below = self._below
                self._write(place, below + np.float32((at - below_mm) / (z_mm - below_mm)) * (plane - below))
        self._below = z_mm, plane

    def finish(self) -> NDArray[np.float32]:
        """The volume, of the frame's size; what lies above the last slice repeats it.

        Raises:
            DecodeFailed: no slice came.
        """
        if self._below is None:
            raise DecodeFailed("no slice of the scan could be decoded")
        while self._waiting:
            self._write(self._waiting.pop()[1], self._below[1])
        return self._volume

    def _write(self, place: int, hu: Plane) -> None:
        low, high = self._frame.hu
        black, white = self._frame.scaled_to
        self._inside[place] = (_clipped(hu, self._frame.hu) - np.float32(low)) * np.float32(
            (white - black) / (high - low)
        ) + np.float32(black)


def _clipped(hu: Plane, bounds: tuple[float, float]) -> Plane:
    low, high = bounds
    clipped: Plane = np.clip(hu, np.float32(low), np.float32(high))
    return clipped


def _kept(sampling: AxisSampling) -> slice:
    return slice(sampling.first, sampling.first + len(sampling.at))


def _linear(values: Plane, at: NDArray[np.float64], axis: int) -> Plane:
    """Reads an axis of a slice between its pixels."""
    below = np.floor(at).astype(np.intp)
    above = np.minimum(below + 1, values.shape[axis] - 1)
    share = (at - below).astype(np.float32)
    lower, upper = np.take(values, below, axis), np.take(values, above, axis)
    read: Plane = lower + (share if axis else share[:, None]) * (upper - lower)
    return read
