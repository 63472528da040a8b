"""Slices as Hounsfield units and as exact 8-bit windows; loading them from the files of an upload."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.decoding import StoredValues, decode_frame
from slicebank_imaging.elements import open_dicom
from slicebank_imaging.errors import DecodeFailed, ImagingError, NoPixelData
from slicebank_imaging.frames import Frame, map_frames, supported_syntax
from slicebank_imaging.layout import PixelLayout, read_layout
from slicebank_imaging.nifti import NiftiSlices, is_nifti
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.syntaxes import TransferSyntax
from slicebank_imaging.tags import PIXEL_DATA, label
from slicebank_imaging.windows import PADDING_HU, Window, render_gray8

# A series has one slope and intercept, seldom one for each slice; 64 KB a table of 16-bit values.
TABLES = 64


@dataclass(frozen=True, slots=True, eq=False)
class CTSlice:
    """One decoded slice.

    Attributes:
        stored: (rows, columns) stored values.
        slope: HU per stored unit.
        intercept: HU.
        padding: Range of stored values that stand for "no pixel here", inclusive.
    """

    stored: StoredValues
    slope: float
    intercept: float
    padding: tuple[int, int] | None

    def hounsfield(self) -> NDArray[np.float32]:
        """(rows, columns) in HU; padding is -2048."""
        return _hounsfield(self.stored, self.slope, self.intercept, self.padding).astype(np.float32)

    def render(self, window: Window) -> NDArray[np.uint8]:
        """(rows, columns) grey levels by `windows.render_gray8`; padding is black in every window."""
        if self.stored.dtype.itemsize > 2:
            gray = render_gray8(_hounsfield(self.stored, self.slope, self.intercept, self.padding), window)
            gray[_is_padding(self.stored, self.padding)] = 0
            return gray
        return np.take(self.gray_table(window), self.stored.view(f"u{self.stored.dtype.itemsize}"))

    def gray_table(self, window: Window) -> NDArray[np.uint8]:
        """Grey level of every value that `stored`'s type can hold, by its bits read as unsigned; 8 and 16 bits only.

        The same array, not writable, for all slices that share slope, intercept and padding.
        """
        return _gray_table(self.slope, self.intercept, window, self.stored.dtype.str, self.padding)

    @property
    def padding_count(self) -> int:
        """Number of pixels that are padding."""
        return 0 if self.padding is None else int(np.count_nonzero(_is_padding(self.stored, self.padding)))


def _is_padding(stored: StoredValues, padding: tuple[int, int] | None) -> NDArray[np.bool_]:
    if padding is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    low, high = padding
    found: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return found


def _hounsfield(
    stored: StoredValues, slope: float, intercept: float, padding: tuple[int, int] | None
) -> NDArray[np.float64]:
    hu = stored.astype(np.float64) * slope + intercept
    if padding is not None:
        hu[_is_padding(stored, padding)] = PADDING_HU
    return hu


@lru_cache(maxsize=TABLES)
def _gray_table(
    slope: float, intercept: float, window: Window, dtype: str, padding: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Grey level of every value that an 8-bit or 16-bit integer type can hold, by its bits read as unsigned."""
    kind = np.dtype(dtype)
    stored: NDArray[Any] = np.arange(1 << 8 * kind.itemsize, dtype=f"u{kind.itemsize}").view(kind)
    table = render_gray8(_hounsfield(stored, slope, intercept, padding), window)
    table[_is_padding(stored, padding)] = 0
    table.flags.writeable = False
    return table


@dataclass(frozen=True, slots=True)
class _PixelSource:
    """Where the frames of one file are: the file itself, or its inflated data set."""

    layout: PixelLayout
    syntax: TransferSyntax
    frames: tuple[Frame, ...]
    swapped_words: bool
    inflated: bytes | None


class SliceLoader:
    """Loads slices of one upload folder; safe to use from several threads.

    The frame table of the last multi-frame or NIfTI file is kept, so that its frames are found without reading its
    header again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._last: tuple[str, _PixelSource | NiftiSlices] | None = None

    def load(self, ref: SliceRef) -> CTSlice:
        """Read and decode one slice.

        Raises:
            DecodeFailed: the file is gone or damaged, or the frame cannot be decoded.
        """
        path = self._folder / ref.file
        try:
            source = self._source(ref.file, path)
            if isinstance(source, NiftiSlices):
                stored = source.load(ref.frame_number)
            else:
                data = _read(path, source, ref.frame_number)
                stored = decode_frame(
                    data, source.layout, source.syntax, swapped_words=source.swapped_words, padding=ref.padding
                )
        except DecodeFailed:
            raise
        except OSError as error:
            raise DecodeFailed(f"file {ref.file} cannot be read ({error.strerror}); upload the series again") from error
        except ImagingError as error:
            raise DecodeFailed(f"file {ref.file} is not what was taken in: {error.detail}") from error
        return CTSlice(stored, ref.slope, ref.intercept, ref.padding)

    def _source(self, file: str, path: Path) -> _PixelSource | NiftiSlices:
        with self._lock:
            if self._last is not None and self._last[0] == file:
                return self._last[1]
        source = NiftiSlices.open(path) if is_nifti(path) else _parse(path)
        if isinstance(source, NiftiSlices) or len(source.frames) > 1:
            with self._lock:
                self._last = (file, source)
        return source


def _parse(path: Path) -> _PixelSource:
    with open_dicom(path) as dicom:
        if dicom.pixel is None:
            raise NoPixelData("the file has no pixels", tag=label(PIXEL_DATA))
        layout = read_layout(dicom.data)
        syntax = supported_syntax(dicom.syntax)
        frames = map_frames(dicom, dicom.pixel, layout).frames
        swapped = syntax.big_endian and dicom.pixel.vr == "OW"
        inflated = dicom.stream.getvalue() if isinstance(dicom.stream, BytesIO) else None
    return _PixelSource(layout, syntax, frames, swapped, inflated)


def _read(path: Path, source: _PixelSource, frame_number: int) -> bytes:
    if not 1 <= frame_number <= len(source.frames):
        raise DecodeFailed(f"frame {frame_number} is not in the file, which holds {len(source.frames)}")
    frame = source.frames[frame_number - 1]
    if source.inflated is not None:
        return b"".join(source.inflated[span.offset : span.offset + span.length] for span in frame)
    with path.open("rb") as stream:
        parts = []
        for span in frame:
            stream.seek(span.offset)
            parts.append(stream.read(span.length))
    return parts[0] if len(parts) == 1 else b"".join(parts)
