"""Stored values of one slice as the bytes of a transfer syntax."""

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder

from slicebank_imaging.errors import UnsupportedTransferSyntax
from slicebank_imaging.syntaxes import SYNTAXES, Family

WRITABLE = tuple(uid for uid, syntax in SYNTAXES.items() if syntax.family is not Family.JPEG)


def encode_frame(stored: NDArray[np.int16] | NDArray[np.uint16], bits_stored: int, syntax_uid: str) -> bytes:
    """Encode one frame without loss; native frames come back as little or big endian words, others as a codestream.

    Args:
        stored: (rows, columns).
        bits_stored: Bits that hold a value.
        syntax_uid: One of `WRITABLE`.

    Raises:
        UnsupportedTransferSyntax: a lossy or unknown transfer syntax.
    """
    if syntax_uid not in WRITABLE:
        raise UnsupportedTransferSyntax(f"the phantom cannot be written as {syntax_uid}; known are {WRITABLE}")
    syntax = SYNTAXES[syntax_uid]
    words = stored.view(np.uint16) & np.uint16((1 << bits_stored) - 1)
    if syntax.family is Family.NATIVE:
        return words.astype(">u2" if syntax.big_endian else "<u2").tobytes()
    if syntax.family is Family.RLE:
        return _encode_rle(words)
    import imagecodecs  # loaded late: only compressed phantoms need it

    if syntax.family is Family.JPEG_LS:
        return bytes(imagecodecs.jpegls_encode(words))
    if syntax.family is Family.JPEG_2000:
        return bytes(imagecodecs.jpeg2k_encode(words, reversible=True, codecformat="j2k", bitspersample=bits_stored))
    return bytes(imagecodecs.jpeg_encode(words, lossless=True, predictor=1, bitspersample=bits_stored))


def pixel_data(frames: list[bytes], syntax_uid: str) -> bytes:
    """The value of Pixel Data for one or more encoded frames."""
    return encapsulate(frames) if SYNTAXES[syntax_uid].encapsulated else b"".join(frames)


def _encode_rle(words: NDArray[np.uint16]) -> bytes:
    encoder = get_encoder("1.2.840.10008.1.2.5")
    description = {
        "rows": words.shape[0],
        "columns": words.shape[1],
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 16,
        "bits_stored": 16,
        "pixel_representation": 0,
    }
    return bytes(encoder.encode(words.astype("<u2").tobytes(), index=0, **description))
