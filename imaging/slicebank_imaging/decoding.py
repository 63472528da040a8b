"""From the bytes of one frame to stored values (PS3.5 section 8): imagecodecs first, pydicom's decoders otherwise.

imagecodecs releases the interpreter lock, so that threads decode side by side; where it, or one codec of it, is not
installed, pydicom takes over for what it can (RLE by itself, JPEG baseline and JPEG 2000 through Pillow).
"""

from collections.abc import Callable
from itertools import pairwise
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from slicebank_imaging.codestream import HEADER_BYTES, inspect
from slicebank_imaging.errors import CodecMissing, DecodeFailed
from slicebank_imaging.layout import PixelLayout
from slicebank_imaging.syntaxes import Family, TransferSyntax
from slicebank_imaging.tags import BITS_STORED, PIXEL_REPRESENTATION, label

RLE_HEADER = Struct("<16L")  # number of segments, and their offsets
StoredValues = NDArray[np.integer[Any]]


def decode_frame(
    data: bytes,
    layout: PixelLayout,
    syntax: TransferSyntax,
    *,
    swapped_words: bool = False,
    padding: tuple[int, int] | None = None,
) -> StoredValues:
    """Decode one frame.

    Args:
        data: The frame's bytes; fragments joined.
        layout: Matrix and bits.
        syntax: Transfer syntax of the file.
        swapped_words: 8-bit pixels were written as big-endian 16-bit words.
        padding: Stored values that stand for "no pixel here"; kept even where they need more than BitsStored.

    Returns:
        (rows, columns) in the smallest of int16, uint8, uint16, int32, uint32 that BitsAllocated and sign allow.

    Raises:
        DecodeFailed: the bytes are damaged, or decode to another matrix.
        CodecMissing: neither imagecodecs nor pydicom has a decoder for this transfer syntax.
    """
    if not syntax.encapsulated:
        return _stored_values(_native(data, layout, syntax, swapped_words), layout, padding)
    codestream = inspect(data[:HEADER_BYTES])
    cells = _decompress(data, layout, syntax)
    if cells.shape != (layout.rows, layout.columns):
        raise DecodeFailed(f"the pixels decode to {cells.shape}, the header says {layout.rows} x {layout.columns}")
    if syntax.family is Family.RLE or codestream is None:
        return _stored_values(cells, layout, padding)
    if codestream.signed:
        if not layout.signed and cells.min() < 0:
            raise DecodeFailed(
                "the codestream holds negative values, but PixelRepresentation says that there are none; "
                "which is right cannot be told: send the original slice",
                tag=label(PIXEL_REPRESENTATION),
            )
        return _as_stored_type(cells, layout)
    if layout.signed and codestream.precision < layout.bits_stored and int(cells.max()) >> (codestream.precision - 1):
        raise DecodeFailed(
            f"the codestream has {codestream.precision} bits, BitsStored is {layout.bits_stored}; whether its high "
            "values are negative cannot be told: send the original slice",
            tag=label(BITS_STORED),
        )
    return _from_samples(cells, min(codestream.precision, layout.bits_stored), layout)


def _native(data: bytes, layout: PixelLayout, syntax: TransferSyntax, swapped_words: bool) -> StoredValues:
    if len(data) < layout.frame_bytes:
        raise DecodeFailed("the file is shorter than when it was taken in")
    if layout.bits_allocated == 8 and swapped_words:
        cells: StoredValues = np.frombuffer(data, "u1")
        cells = np.append(cells, np.zeros(cells.size % 2, "u1")).reshape(-1, 2)[:, ::-1].ravel()
        return cells[: layout.rows * layout.columns].reshape(layout.rows, layout.columns)
    order = ">" if syntax.big_endian else "<"
    cells = np.frombuffer(data, f"{order}u{layout.bits_allocated // 8}", count=layout.rows * layout.columns)
    return cells.reshape(layout.rows, layout.columns)


def _decompress(data: bytes, layout: PixelLayout, syntax: TransferSyntax) -> StoredValues:
    try:
        return _decompress_imagecodecs(data, layout, syntax)
    except ImportError:
        return _decompress_pydicom(data, layout, syntax)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:  # every codec has its own RuntimeError
        raise DecodeFailed(
            f"the {syntax.family} pixels are damaged ({str(error)[:120]}); send the slice again"
        ) from error


def _decompress_imagecodecs(data: bytes, layout: PixelLayout, syntax: TransferSyntax) -> StoredValues:
    import imagecodecs  # loaded late: the service reads headers and has no need of codecs

    decoded: StoredValues
    match syntax.family:
        case Family.RLE:
            decoded = _run_lengths(data, layout, imagecodecs.packbits_decode)
        case Family.JPEG | Family.JPEG_LOSSLESS:
            decoded = imagecodecs.jpeg_decode(data)
        case Family.JPEG_LS:
            decoded = imagecodecs.jpegls_decode(data)
        case _:
            # Threads of this process work on other slices, so that one inside the codec is right.
            decoded = imagecodecs.jpeg2k_decode(data, numthreads=1)
    return decoded


def _run_lengths(data: bytes, layout: PixelLayout, unpack_bits: Callable[[bytes], bytes | bytearray]) -> StoredValues:
    """Decode DICOM RLE (PS3.5 annex G): a segment for each byte of a cell, the most significant first.

    The offsets are judged here, because imagecodecs' own reader of them goes where they point, and crashes.
    """
    n_bytes = layout.bits_allocated // 8
    count, *offsets = RLE_HEADER.unpack_from(data) if len(data) >= RLE_HEADER.size else (0,)
    bounds = [*offsets[:count], len(data)]
    if count != n_bytes or bounds[0] < RLE_HEADER.size or bounds != sorted(bounds):
        raise ValueError("segments out of place")
    n_cells = layout.rows * layout.columns
    cells = np.empty((n_cells, n_bytes), np.uint8)
    for place, (start, stop) in enumerate(pairwise(bounds)):
        # count: a segment may end in padding
        cells[:, n_bytes - 1 - place] = np.frombuffer(unpack_bits(data[start:stop]), np.uint8, count=n_cells)
    return cells.view(f"<u{n_bytes}").reshape(layout.rows, layout.columns)


def _decompress_pydicom(data: bytes, layout: PixelLayout, syntax: TransferSyntax) -> StoredValues:
    decoder = get_decoder(syntax.uid)
    if not decoder.is_available:
        raise CodecMissing(f"no decoder for {syntax.name} is installed; pip install imagecodecs")
    description: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "pixel_keyword": "PixelData",
    }
    try:
        decoded, _ = decoder.as_array(encapsulate([data]), index=0, raw=True, **description)
    except (RuntimeError, ValueError, TypeError, AttributeError, OSError) as error:
        raise DecodeFailed(f"the {syntax.family} pixels are damaged; send the slice again") from error
    return np.asarray(decoded)


def _stored_values(cells: StoredValues, layout: PixelLayout, padding: tuple[int, int] | None) -> StoredValues:
    """Take the value out of its cell: shift to bit 0, drop the bits above it, extend the sign."""
    whole = layout.bits_stored == layout.bits_allocated
    unsigned = cells.astype(f"=u{layout.bits_allocated // 8}", copy=False)
    if whole:
        return _as_stored_type(unsigned, layout)
    values = _from_samples(unsigned >> (layout.high_bit + 1 - layout.bits_stored), layout.bits_stored, layout)
    low, high = layout.bounds
    if padding is not None and not (low <= padding[0] and padding[1] <= high):
        # Some scanners mark missing pixels with a value that only the whole cell can hold.
        full = _as_stored_type(unsigned, layout)
        values = np.where((full >= padding[0]) & (full <= padding[1]), full, values)
    return values


def _from_samples(samples: StoredValues, bits: int, layout: PixelLayout) -> StoredValues:
    """Keep the low `bits` of each sample and give them the sign that the header says."""
    size = max(samples.dtype.itemsize, layout.bits_allocated // 8)
    shift = 8 * size - bits
    if not layout.signed:
        return _as_stored_type(samples.astype(f"u{size}", copy=False) & ((1 << bits) - 1), layout)
    return _as_stored_type((samples.astype(f"u{size}") << shift).view(f"i{size}") >> shift, layout)


def _as_stored_type(values: StoredValues, layout: PixelLayout) -> StoredValues:
    """Give values the sign of the header and the size of BitsAllocated, native byte order, contiguous."""
    size = layout.bits_allocated // 8
    if values.dtype.itemsize == size:
        values = values.view(f"=i{size}" if layout.signed else f"=u{size}")
    target = "i2" if layout.signed and size == 1 else f"{'i' if layout.signed else 'u'}{size}"
    return np.ascontiguousarray(values, dtype=target)
