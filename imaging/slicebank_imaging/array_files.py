"""Hounsfield units in files of research collections: volumes as numpy archives, slices as 16-bit PNG."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from slicebank_imaging.errors import DecodeFailed

# A chest of 700 slices of 0.8 mm and 512 x 512 pixels is 367 MB as int16; a file that claims far more is not one.
MOST_VOXELS = 1 << 30
_INT16 = np.iinfo(np.int16)


def read_npz_volume(path: Path, key: str) -> NDArray[np.int16]:
    """Reads one array of a numpy archive, pickled content refused.

    Args:
        path: The file.
        key: Name of the array.

    Returns:
        int16 (slices, rows, columns), as stored; other types are rounded.

    Raises:
        DecodeFailed: It is no such archive, has no such array, or the array is no volume of numbers.
    """
    try:
        _check_header(path, key)
        with np.load(path, allow_pickle=False) as archive:
            stored = archive[key]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DecodeFailed(f"{path.name} has no array {key!r} that can be read ({error})") from error
    if stored.dtype == np.int16:
        return np.asarray(stored, dtype=np.int16)
    rounded: NDArray[np.float64] = np.rint(stored.astype(np.float64))
    if not np.isfinite(rounded).all() or rounded.min() < _INT16.min or rounded.max() > _INT16.max:
        raise DecodeFailed(f"array {key!r} of {path.name} holds values that are no Hounsfield units")
    return rounded.astype(np.int16)


def _check_header(path: Path, key: str) -> None:
    """Looks at shape and type before anything is inflated."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    if len(shape) != 3 or dtype.kind not in "iuf" or not 0 < int(np.prod(shape, dtype=np.float64)) <= MOST_VOXELS:
        raise DecodeFailed(f"array {key!r} of {path.name} is {dtype} of shape {shape}, not a CT volume")


def read_png_slice(path: Path, *, zero: int) -> NDArray[np.int16]:
    """Reads a 16-bit grey PNG.

    Args:
        path: The file.
        zero: Stored value that stands for 0 HU.

    Returns:
        int16 HU (rows, columns).

    Raises:
        DecodeFailed: It is no such picture.
    """
    try:
        with Image.open(path) as image:
            if image.format != "PNG" or not image.mode.startswith("I"):
                raise DecodeFailed(f"{path.name} is no 16-bit grey PNG")
            stored = np.asarray(image).astype(np.int32)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DecodeFailed(f"{path.name} cannot be read ({type(error).__name__})") from error
    return np.clip(stored - zero, _INT16.min, _INT16.max).astype(np.int16)
