"""The fixed header of a NIfTI file: where the voxels lie, what they are, and their affine."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.errors import BadHeader, NoOrientation, NotGrayscale, SeveralVolumes, TruncatedFile
from slicebank_imaging.layout import MAX_FRAMES, MAX_SIDE
from slicebank_imaging.limits import MAX_RESCALE

LONGEST_HEADER = 540  # of NIfTI-2; NIfTI-1 has 348, and that number at its start is how the two are told apart
DICM = slice(128, 132)
# Data type codes of nifti1.h. Others are colour, complex, single bits or 128 bits wide.
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COLOUR_TYPES = frozenset({128, 2304})
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # the three low bits of xyzt_units: metre, mm, micron; 0 = unknown, taken as mm
_MAX_MM = 1e5
_SAME_AFFINE = 0.05  # sform and qform that differ by less, in mm a voxel, differ by rounding


@dataclass(frozen=True, slots=True, eq=False)
class NiftiVolume:
    """One volume.

    Attributes:
        version: 1 or 2.
        shape: Voxels along the three axes; the first varies fastest in the file.
        dtype: Voxel type with its byte order.
        offset: First byte of the voxels.
        affine: (4, 4), voxel index to mm, RAS+.
        slope: Scale of the voxels; 1 where the header has none.
        intercept: Added to scaled voxels; 0 where the header has none.
        scaled: Whether the header has a scale.
        affines_differ: The qform places the voxels elsewhere than the sform, which counts.
    """

    version: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    affine: NDArray[np.float64]
    slope: float
    intercept: float
    scaled: bool
    affines_differ: bool

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)


def is_nifti(path: Path) -> bool:
    """Whether the first bytes are those of NIfTI-1 or NIfTI-2; DICOM, whose preamble may look like anything, wins."""
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEADER)
    return head[DICM] != b"DICM" and _version(head) is not None


def _version(head: bytes) -> tuple[int, str] | None:
    """Version and byte order."""
    for order in ("<", ">"):
        size = int.from_bytes(head[:4], "little" if order == "<" else "big")
        if size == 348 and head[344:348] in (b"n+1\0", b"ni1\0"):
            return 1, order
        if size == 540 and head[4:8] in (b"n+2\0", b"ni2\0"):
            return 2, order
    return None


def read_volume(path: Path) -> NiftiVolume:
    """Read and judge the header.

    Raises:
        TruncatedFile: the voxels reach beyond the end of the file.
        NotGrayscale: colour voxels.
        SeveralVolumes: more than one volume.
        NoOrientation: neither sform nor qform.
        BadHeader: values that cannot be.
    """
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEADER)
    found = _version(head)
    if found is None:
        raise BadHeader("this is no NIfTI file")
    version, order = found
    if head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0":
        raise BadHeader("the voxels of this NIfTI header are in another file (.img); save it as one .nii file")
    from nibabel.nifti1 import Nifti1Header  # loaded late: it takes a third of a second, and most uploads are DICOM
    from nibabel.nifti2 import Nifti2Header

    kind = Nifti1Header if version == 1 else Nifti2Header
    size = 348 if version == 1 else 540
    if len(head) < size:
        raise TruncatedFile("the NIfTI header is cut short; send the file again")
    header = kind(head[:size], endianness=order, check=False)  # type: ignore[no-untyped-call]
    shape = _shape([int(value) for value in header["dim"]])
    dtype = _dtype(int(header["datatype"]), order)
    slope, intercept, scaled = _scale(float(header["scl_slope"]), float(header["scl_inter"]))
    offset = _offset(float(header["vox_offset"]), size)
    missing = offset + math.prod(shape) * dtype.itemsize - path.stat().st_size
    if missing > 0:
        raise TruncatedFile(f"{missing} bytes of voxels are missing at the end of the file; send it again")
    affine, differ = _affine(header)
    return NiftiVolume(version, shape, dtype, offset, affine, slope, intercept, scaled, differ)


def _shape(dim: list[int]) -> tuple[int, int, int]:
    count = dim[0]
    if not 2 <= count <= 7 or any(size < 1 for size in dim[1 : count + 1]):
        raise BadHeader("dim must name 2 to 7 axes of at least one voxel")
    if any(size > 1 for size in dim[4 : count + 1]):
        raise SeveralVolumes(f"the file holds {math.prod(dim[4 : count + 1])} volumes; send each as its own file")
    shape = (dim[1], dim[2], dim[3] if count >= 3 else 1)
    if max(shape) > max(MAX_FRAMES, MAX_SIDE):
        raise BadHeader(f"an axis of {max(shape)} voxels is longer than any CT")
    return shape


def _dtype(code: int, order: str) -> "np.dtype[Any]":
    if code in _COLOUR_TYPES:
        raise NotGrayscale("the voxels are in colour; CT slices are grey")
    if code not in _TYPES:
        raise BadHeader(f"voxels of NIfTI data type {code} are no CT; save them as int16")
    return np.dtype(order + _TYPES[code])


def _scale(slope: float, intercept: float) -> tuple[float, float, bool]:
    """A slope of 0 means that there is no scale (nifti1.h); writers put NaN there too."""
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0, False
    if not (abs(slope) <= MAX_RESCALE and abs(intercept) <= MAX_RESCALE):  # false for NaN too
        raise BadHeader("scl_slope and scl_inter are not usable numbers")
    return slope, intercept, (slope, intercept) != (1.0, 0.0)


def _offset(value: float, header_bytes: int) -> int:
    if value == 0:
        return header_bytes + 4  # four bytes after the header say whether extensions follow
    if not header_bytes <= value < 1 << 40 or value != int(value):
        raise BadHeader("vox_offset does not point behind the header")
    return int(value)


def _affine(header: Any) -> tuple[NDArray[np.float64], bool]:
    """The sform where there is one, else the qform, in mm, and whether both are there and disagree."""
    unit = _MM.get(int(header["xyzt_units"]) & 7, 1.0)
    sform = _usable(header.get_sform()) if int(header["sform_code"]) > 0 else None
    qform = _qform(header) if int(header["qform_code"]) > 0 else None
    best = sform if sform is not None else qform
    if best is None:
        if int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0:
            raise BadHeader("sform and qform hold no usable affine; save the file again from the original")
        raise NoOrientation(
            "neither sform nor qform is set, so left, right, top and bottom are unknown; save the file with its affine"
        )
    differ = sform is not None and qform is not None and bool(np.abs(sform - qform)[:3, :3].max() > _SAME_AFFINE)
    scaled = best.copy()
    scaled[:3] *= unit
    if float(np.abs(scaled).max()) > _MAX_MM:
        raise BadHeader("the affine reaches more than 100 m from the origin")
    sizes = np.sqrt((scaled[:3, :3] ** 2).sum(axis=0))
    if not all(1e-3 <= float(size) <= 1e3 for size in sizes):
        raise BadHeader("voxels must be between 0.001 and 1,000 mm large")
    return scaled, differ


def _qform(header: Any) -> NDArray[np.float64] | None:
    from nibabel.spatialimages import HeaderDataError

    try:
        with np.errstate(all="ignore"):
            return _usable(header.get_qform())
    except (HeaderDataError, ValueError, OverflowError):
        return None


def _usable(affine: Any) -> NDArray[np.float64] | None:
    values = np.asarray(affine, dtype=np.float64)
    if not np.isfinite(values).all() or abs(float(np.abs(values).max())) > 1e9:
        return None
    sizes = np.sqrt((values[:3, :3] ** 2).sum(axis=0))
    if not sizes.all() or abs(float(np.linalg.det(values[:3, :3] / sizes))) < 1e-3:
        return None
    return values
