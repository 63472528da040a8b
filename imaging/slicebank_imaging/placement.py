"""Slices with their place along a normal, and the split of repeated positions into phases."""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.file_header import FileHeader, FrameHeader
from slicebank_imaging.layout import PixelLayout
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, SYNTAXES

SAME_POSITION_MM = 0.01  # positions are written with 2 to 6 decimals; real slices are at least 0.1 mm apart
SAME_COSINE = 5e-3  # about 0.3 degrees; reformatted fans step by 1 degree or more

Orientation = tuple[float, float, float, float, float, float]
AXIAL: Orientation = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FIRST_ACQUISITION = -(2**31)
# Flat values, so that nothing needs to be copied in depth, which takes longer than hashing.
_LAYOUT_FIELDS = tuple(field.name for field in fields(PixelLayout))
_FRAME_FIELDS = tuple(field.name for field in fields(FrameHeader) if field.name != "file")


@dataclass(frozen=True, slots=True)
class PlacedSlice:
    """One frame with its digest and its position along the normal of its stack, mm."""

    file: FileHeader
    frame: FrameHeader
    digest: str
    z_mm: float

    @property
    def key(self) -> tuple[int, str, str, int, str]:
        """Acquisition number, acquisition time, SOP instance UID, frame number, digest: a total order, whatever the files are called."""
        number = self.frame.acquisition_number
        return (
            FIRST_ACQUISITION if number is None else number,
            self.frame.acquisition_time or "",
            self.frame.sop_instance_uid,
            self.frame.frame_number,
            self.digest,
        )


def slice_digest(file: FileHeader, frame: FrameHeader, options: ImportOptions) -> str:
    """SHA-256, hex, over SOP instance UID, frame number, pixels, the header fields used, and the import options.

    The ordinal and the name of the file are left out: the same slice has the same digest in every upload. So are differences of
    encoding that leave the stored values as they are: senders change between the little endian syntaxes as they please.
    """
    syntax = SYNTAXES.get(file.transfer_syntax)
    alike = syntax is not None and not syntax.encapsulated and not syntax.big_endian
    content = {
        "pixels": file.sha256_pixels,
        "transfer_syntax": EXPLICIT_VR_LITTLE_ENDIAN if alike else file.transfer_syntax,
        "layout": {name: getattr(file.layout, name) for name in _LAYOUT_FIELDS},
        "frame": {name: getattr(frame, name) for name in _FRAME_FIELDS},
        "options": options.as_dict(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def normal_of(orientation: Orientation) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Unit normal of a slice plane in LPS, pointing to the head (left or back for sagittal and coronal planes)."""
    normal = np.cross(np.array(orientation[:3], dtype=np.float64), np.array(orientation[3:], dtype=np.float64))
    normal /= np.linalg.norm(normal)
    return normal if normal[np.argmax(np.abs(normal))] > 0 else -normal


def same_orientation(known: NDArray[np.float64], orientation: Orientation) -> int | None:
    """Index of the first of `known`, (planes, 6), that agrees with a plane within rounding; None where none does."""
    agrees: NDArray[np.bool_] = np.all(np.abs(known - np.array(orientation)) <= SAME_COSINE, axis=1)
    first = int(agrees.argmax()) if agrees.size else 0
    return first if agrees.size and agrees[first] else None


def split_phases(slices: Sequence[PlacedSlice]) -> list[list[PlacedSlice]]:
    """Split slices that repeat positions into stacks that do not; one stack where nothing repeats.

    Acquisitions stay whole where they can: the coarsest of acquisition number, image type and acquisition time whose
    parts do not repeat positions wins, and each part joins the first stack that it does not collide with. Where no
    attribute tells the repeats apart, the n-th slice at a position (by instance number) goes to the n-th stack.
    """
    if not _repeats(slices):
        return [list(slices)]
    attributes: tuple[Callable[[FrameHeader], Hashable], ...] = (
        lambda frame: frame.acquisition_number,
        lambda frame: frame.image_type,
        lambda frame: (frame.acquisition_number, frame.image_type),
        lambda frame: (frame.acquisition_number, frame.image_type, frame.acquisition_time),
    )
    for attribute in attributes:
        parts = _partition(slices, attribute)
        if not any(_repeats(part) for part in parts):
            return _first_fit(parts)
    return _by_occurrence(slices)


def _partition(slices: Iterable[PlacedSlice], attribute: Callable[[FrameHeader], Hashable]) -> list[list[PlacedSlice]]:
    parts: dict[Hashable, list[PlacedSlice]] = {}
    for item in sorted(slices, key=lambda item: item.key):
        parts.setdefault(attribute(item.frame), []).append(item)
    return list(parts.values())


def _repeats(slices: Sequence[PlacedSlice]) -> bool:
    positions = sorted(item.z_mm for item in slices)
    return any(above - below <= SAME_POSITION_MM for below, above in pairwise(positions))


def _first_fit(parts: Iterable[list[PlacedSlice]]) -> list[list[PlacedSlice]]:
    """Put each part into the first stack none of whose positions it repeats."""
    stacks: list[list[PlacedSlice]] = []
    # Position by cell to the stacks that hold it, as bits, so that thousands of stacks cost little more than one. Cells
    # are twice as wide as the tolerance and are searched with their neighbours, which catches every pair within it.
    held: dict[int, dict[float, int]] = {}
    for part in parts:
        taken = 0
        for item in part:
            cell = round(item.z_mm / (2 * SAME_POSITION_MM))
            for near in (cell - 1, cell, cell + 1):
                for z_mm, holders in held.get(near, {}).items():
                    if abs(z_mm - item.z_mm) <= SAME_POSITION_MM:
                        taken |= holders
        number = (~taken & (taken + 1)).bit_length() - 1  # the lowest bit that is not set
        if number == len(stacks):
            stacks.append([])
        stacks[number].extend(part)
        for item in part:
            positions = held.setdefault(round(item.z_mm / (2 * SAME_POSITION_MM)), {})
            positions[item.z_mm] = positions.get(item.z_mm, 0) | 1 << number
    return stacks


def _by_occurrence(slices: Sequence[PlacedSlice]) -> list[list[PlacedSlice]]:
    stacks: list[list[PlacedSlice]] = []
    ordered = sorted(slices, key=lambda item: item.z_mm)
    position = 0
    while position < len(ordered):
        here = [ordered[position]]
        while position + len(here) < len(ordered):
            candidate = ordered[position + len(here)]
            if candidate.z_mm - here[-1].z_mm > SAME_POSITION_MM:
                break
            here.append(candidate)
        position += len(here)
        for number, item in enumerate(sorted(here, key=lambda item: (item.frame.instance_number or 0, *item.key))):
            if number == len(stacks):
                stacks.append([])
            stacks[number].append(item)
    return stacks
