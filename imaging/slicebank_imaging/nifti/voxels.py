"""Voxel values: what a whole volume holds, found in one pass, and how voxels become stored values."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.decoding import StoredValues
from slicebank_imaging.errors import BadHeader, NotHounsfield, TruncatedFile
from slicebank_imaging.nifti.header import NiftiVolume

CHUNK_VOXELS = 1 << 20  # at most 8 MB a chunk, so that a volume is never in memory whole
STORED_AS_THEY_ARE = frozenset({"u1", "i1", "u2", "i2"})
# The stored value that stands for NaN; the lowest rounded value that may occur is one more.
PADDING = -(1 << 15)
LOWEST_NOT_HU = -200.0  # every slice of a patient shows fat (-100) or air; label masks and pictures start at 0


@dataclass(frozen=True, slots=True)
class VoxelSurvey:
    """What a volume holds.

    Attributes:
        sha256: Of the voxels as stored, hex.
        lowest: Smallest finite voxel, before scaling; NaN where there is none.
        highest: Largest finite voxel, before scaling; NaN where there is none.
        missing: Number of voxels that are NaN.
        infinite: Number of voxels that are infinite.
    """

    sha256: str
    lowest: float
    highest: float
    missing: int
    infinite: int


def kept_as_stored(dtype: "np.dtype[Any]") -> bool:
    """Whether voxels are stored values; wider integers and floats are scaled and rounded to whole HU instead."""
    return dtype.str[1:] in STORED_AS_THEY_ARE


def survey(path: Path, volume: NiftiVolume) -> VoxelSurvey:
    """Read every voxel once.

    Raises:
        TruncatedFile: the file became shorter meanwhile.
    """
    digest = hashlib.sha256()
    lowest, highest, missing, infinite = math.inf, -math.inf, 0, 0
    left = volume.voxels
    with path.open("rb") as stream:
        stream.seek(volume.offset)
        while left:
            size = min(left, CHUNK_VOXELS)
            data = stream.read(size * volume.dtype.itemsize)
            if len(data) < size * volume.dtype.itemsize:
                raise TruncatedFile("the voxels end early; send the file again")
            digest.update(data)
            values: NDArray[Any] = np.frombuffer(data, volume.dtype)
            if volume.dtype.kind == "f":
                finite = np.isfinite(values)
                if not finite.all():
                    nan = int(np.count_nonzero(np.isnan(values)))
                    missing += nan
                    infinite += int(np.count_nonzero(~finite)) - nan
                    values = values[finite]
            if values.size:
                lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
            left -= size
    if lowest > highest:
        lowest = highest = math.nan
    return VoxelSurvey(digest.hexdigest(), lowest, highest, missing, infinite)


def check_hounsfield(
    found: VoxelSurvey, slope: float, intercept: float, dtype: "np.dtype[Any]", *, force: bool
) -> None:
    """Refuse volumes that are not CT in Hounsfield units.

    Raises:
        BadHeader: infinite values, or values that 16 bits cannot hold.
        NotHounsfield: grey levels, labels, normalised or unscaled values, unless forced.
    """
    if found.infinite:
        raise BadHeader(f"{found.infinite} voxels are infinite; mark missing ones with NaN or -1024")
    if math.isnan(found.lowest):
        raise NotHounsfield("every voxel is NaN; there is nothing to take")
    ends = sorted((found.lowest * slope + intercept, found.highest * slope + intercept))
    if not force and ends[0] > LOWEST_NOT_HU:
        raise NotHounsfield(
            f"the values lie between {ends[0]:g} and {ends[1]:g}, and CT in Hounsfield units reaches below "
            f"{LOWEST_NOT_HU:g}: these are labels, grey levels or normalised or unscaled values; "
            "send the original, or force=not_hu to take them as they are"
        )
    # Half a unit is what rounding moves a value by; the ends may be infinite here.
    if not kept_as_stored(dtype) and not (ends[0] > PADDING + 0.5 and ends[1] < (1 << 15) - 0.5):
        raise BadHeader(f"values between {ends[0]:g} and {ends[1]:g} do not fit into 16 bits, as those of CT do")


def stored_values(voxels: NDArray[Any], slope: float, intercept: float) -> StoredValues:
    """Voxels as the stored values of a slice: a copy, native byte order, contiguous.

    8-bit and 16-bit integers stay as they are (int8 as int16); anything else is scaled and rounded to whole HU, int16,
    half to even, with NaN as `PADDING`.
    """
    if kept_as_stored(voxels.dtype):
        kind = "i2" if voxels.dtype.itemsize == 1 and voxels.dtype.kind == "i" else voxels.dtype.str[1:]
        return np.array(voxels, dtype=f"={kind}", order="C", copy=True)
    with np.errstate(all="ignore"):
        hu = np.rint(voxels.astype(np.float64) * slope + intercept)
        hu = np.where(np.isnan(hu), PADDING, np.clip(hu, PADDING, (1 << 15) - 1))
    return np.ascontiguousarray(hu.astype(np.int16))
