"""What the header says about the pixels: matrix, frames, bits (PS3.3 C.7.6.3)."""

from dataclasses import dataclass

from slicebank_imaging import tags
from slicebank_imaging.errors import BadHeader, NotGrayscale, TooManyPixels
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.terms import PHOTOMETRIC_INTERPRETATIONS, quoted
from slicebank_imaging.values import DataSet

MAX_FRAMES = 100_000
MAX_SIDE = 4_096  # pixels; scanners reconstruct at most 2,048
GRAYSCALE = frozenset({"MONOCHROME1", "MONOCHROME2", ""})


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Size and integer encoding of the frames of one file.

    Attributes:
        rows: Pixels down one frame.
        columns: Pixels across one frame.
        frames: Number of frames.
        bits_allocated: Bits of one cell: 8, 16 or 32.
        bits_stored: Bits of the cell that hold the value.
        high_bit: Position of the value's top bit, 0-based.
        signed: Whether values are two's complement.
    """

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest stored value."""
        if self.signed:
            return -(1 << self.bits_stored - 1), (1 << self.bits_stored - 1) - 1
        return 0, (1 << self.bits_stored) - 1


def read_layout(data: DataSet) -> PixelLayout:
    """Read and judge the pixel description.

    Raises:
        NotGrayscale: colour or palette pixels.
        BadHeader: values that are missing or cannot be.
    """
    photometric = data.text(tags.PHOTOMETRIC_INTERPRETATION)
    samples = data.unsigned(tags.SAMPLES_PER_PIXEL)
    if photometric not in GRAYSCALE or samples not in (None, 1):
        raise NotGrayscale(
            f"the pixels are in colour ({quoted(photometric, PHOTOMETRIC_INTERPRETATIONS)}); CT slices are grey",
            tag=tags.label(tags.PHOTOMETRIC_INTERPRETATION if photometric not in GRAYSCALE else tags.SAMPLES_PER_PIXEL),
        )
    rows, columns = data.unsigned(tags.ROWS), data.unsigned(tags.COLUMNS)
    if not rows or not columns or max(rows, columns) > MAX_SIDE:
        raise BadHeader(
            f"Rows and Columns must lie between 1 and {MAX_SIDE}; the header says {rows} x {columns}",
            tag=tags.label(tags.COLUMNS if rows and rows <= MAX_SIDE else tags.ROWS),
        )
    frames = data.integer_string(tags.NUMBER_OF_FRAMES) if data.text(tags.NUMBER_OF_FRAMES) else 1
    if frames is None or not 1 <= frames <= MAX_FRAMES:
        raise BadHeader(f"NumberOfFrames must lie between 1 and {MAX_FRAMES}", tag=tags.label(tags.NUMBER_OF_FRAMES))
    allocated = data.unsigned(tags.BITS_ALLOCATED)
    if allocated not in (8, 16, 32):
        raise BadHeader(
            f"BitsAllocated must be 8, 16 or 32; the header says {allocated}", tag=tags.label(tags.BITS_ALLOCATED)
        )
    stored = data.unsigned(tags.BITS_STORED) or allocated
    high_bit = data.unsigned(tags.HIGH_BIT)
    if high_bit is None:
        high_bit = stored - 1
    if not stored <= allocated or not stored - 1 <= high_bit < allocated:
        raise BadHeader(
            f"{stored} bits with high bit {high_bit} do not fit into {allocated} bits allocated",
            tag=tags.label(tags.BITS_STORED if stored > allocated else tags.HIGH_BIT),
        )
    representation = data.unsigned(tags.PIXEL_REPRESENTATION) or 0
    if representation not in (0, 1):
        raise BadHeader(
            f"PixelRepresentation must be 0 or 1; the header says {representation}",
            tag=tags.label(tags.PIXEL_REPRESENTATION),
        )
    return PixelLayout(rows, columns, frames, allocated, stored, high_bit, representation == 1)


def read_padding(data: DataSet, layout: PixelLayout) -> tuple[int, int] | None:
    """The range of stored values that stand for "no pixel here", inclusive (PS3.3 C.7.5.1.1.2); None when absent.

    The bits of the header value are read with the sign of the pixels, whatever value representation the writer chose.
    """
    value = data.unsigned(tags.PIXEL_PADDING_VALUE, signed=layout.signed)
    if value is None:
        return None
    limit = data.unsigned(tags.PIXEL_PADDING_RANGE_LIMIT, signed=layout.signed)
    if limit is None:
        limit = value
    return min(value, limit), max(value, limit)


def check_size(layout: PixelLayout, limits: IntakeLimits) -> None:
    """Hold a file to the limits.

    Raises:
        TooManyPixels: more pixels than one file may hold.
    """
    pixels = layout.rows * layout.columns * layout.frames
    if pixels > limits.max_pixels:
        raise TooManyPixels(
            f"{layout.frames} frame(s) of {layout.rows} x {layout.columns} pixels are more than the "
            f"{limits.max_pixels} pixels that one file may hold; send the series in parts",
            tag=tags.label(tags.NUMBER_OF_FRAMES if layout.frames > 1 else tags.ROWS),
        )
