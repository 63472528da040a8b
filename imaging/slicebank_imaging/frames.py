"""Where the bytes of each frame lie inside Pixel Data, and their digest (PS3.5 section 8 and annex A.4)."""

import hashlib
from dataclasses import dataclass

from slicebank_imaging.codestream import HEADER_BYTES, Codestream, ends_codestream, inspect, starts_codestream
from slicebank_imaging.elements import ITEM, SEQUENCE_DELIMITER, DicomFile, PixelElement
from slicebank_imaging.errors import BadHeader, TruncatedFile, UnsupportedTransferSyntax, WrongTransferSyntax
from slicebank_imaging.layout import PixelLayout
from slicebank_imaging.syntaxes import SUPPORTED_NAMES, SYNTAXES, Family, TransferSyntax
from slicebank_imaging.tags import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    NUMBER_OF_FRAMES,
    PIXEL_DATA,
    PIXEL_REPRESENTATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    TRANSFER_SYNTAX_UID,
    label,
)
from slicebank_imaging.uids import quoted_uid, uid_name

CHUNK_BYTES = 1 << 20
TAIL_BYTES = 64  # where the end marker must be; writers pad with a byte or two behind it
MAX_FRAGMENTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """A run of bytes of the stream."""

    offset: int
    length: int


Frame = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class PixelMap:
    """The frames of one file.

    Attributes:
        frames: In order.
        value: Extent of the whole value, with item tags where encapsulated.
        warnings: Contradictions between header and codestreams that are decided one way, in sentences.
    """

    frames: tuple[Frame, ...]
    value: Span
    warnings: tuple[str, ...] = ()


def supported_syntax(uid: str) -> TransferSyntax:
    """The transfer syntax of a UID.

    Raises:
        UnsupportedTransferSyntax: nothing here decodes it.
    """
    syntax = SYNTAXES.get(uid)
    if syntax is None:
        raise UnsupportedTransferSyntax(
            f"the transfer syntax {uid_name(uid)} ({quoted_uid(uid)}) cannot be decoded; send it as one of: {SUPPORTED_NAMES}",
            tag=label(TRANSFER_SYNTAX_UID),
        )
    return syntax


def map_frames(dicom: DicomFile, pixel: PixelElement, layout: PixelLayout) -> PixelMap:
    """Find every frame and check that lengths, counts and signatures agree with header and transfer syntax.

    Raises:
        TruncatedFile: the pixels reach beyond the end of the file.
        WrongTransferSyntax: lengths or codestreams are not what the transfer syntax says.
        UnsupportedTransferSyntax: nothing here decodes the transfer syntax.
        BadHeader: the number or size of frames is not what the header says.
    """
    syntax = supported_syntax(dicom.syntax)
    if not syntax.encapsulated:
        return _native(dicom, pixel, layout, syntax)
    return _encapsulated(dicom, pixel, layout, syntax)


def digest_value(dicom: DicomFile, value: Span) -> str:
    """SHA-256, in hex, of the bytes of Pixel Data as stored."""
    digest = hashlib.sha256()
    dicom.stream.seek(value.offset)
    left = value.length
    while left:
        chunk = dicom.stream.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise TruncatedFile("the pixels end early; send the file again", tag=label(PIXEL_DATA))
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def read_frame(dicom: DicomFile, frame: Frame) -> bytes:
    """The bytes of one frame; fragments are joined."""
    parts = []
    for span in frame:
        dicom.stream.seek(span.offset)
        parts.append(dicom.stream.read(span.length))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _native(dicom: DicomFile, pixel: PixelElement, layout: PixelLayout, syntax: TransferSyntax) -> PixelMap:
    if pixel.length is None:
        raise WrongTransferSyntax(
            f"the pixels are compressed fragments, but the header declares {syntax.name}; convert the file again",
            tag=label(TRANSFER_SYNTAX_UID),
        )
    missing = pixel.offset + pixel.length - dicom.end
    if missing > 0:
        raise TruncatedFile(
            f"{missing} bytes of pixels are missing at the end of the file; send it again", tag=label(PIXEL_DATA)
        )
    expected = layout.frame_bytes * layout.frames
    if not expected <= pixel.length <= expected + expected % 2:  # values have an even length
        raise WrongTransferSyntax(
            f"{syntax.name} needs {expected} bytes for {layout.frames} frame(s) of {layout.rows} x {layout.columns} "
            f"pixels of {layout.bits_allocated} bits, but the file holds {pixel.length}; convert the file again",
            tag=label(PIXEL_DATA),
        )
    size = layout.frame_bytes
    frames = tuple((Span(pixel.offset + number * size, size),) for number in range(layout.frames))
    return PixelMap(frames, Span(pixel.offset, pixel.length))


def _encapsulated(dicom: DicomFile, pixel: PixelElement, layout: PixelLayout, syntax: TransferSyntax) -> PixelMap:
    if pixel.length is not None:
        if pixel.offset + pixel.length > dicom.end:
            raise TruncatedFile("the pixels reach beyond the end of the file; send it again", tag=label(PIXEL_DATA))
        raise WrongTransferSyntax(
            f"the header declares {syntax.name}, but the pixels are not compressed; convert the file again",
            tag=label(TRANSFER_SYNTAX_UID),
        )
    fragments, end = _fragments(dicom, pixel.offset)
    frames = _group(dicom, fragments, layout, syntax)
    signs = {
        _check_codestream(dicom, frame, number, layout, syntax).signed for number, frame in enumerate(frames, start=1)
    }
    warnings = (_OTHER_SIGN,) if syntax.family is Family.JPEG_2000 and signs != {layout.signed} else ()
    return PixelMap(frames, Span(pixel.offset, end - pixel.offset), warnings)


def _fragments(dicom: DicomFile, offset: int) -> tuple[list[Span], int]:
    """The fragments after the basic offset table, and where the delimiter ends."""
    fragments: list[Span] = []
    position = offset
    while True:
        dicom.stream.seek(position)
        head = dicom.stream.read(8)
        if len(head) < 8:
            raise TruncatedFile("the file ends inside the compressed pixels; send it again", tag=label(PIXEL_DATA))
        tag = int.from_bytes(head[0:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[4:8], "little")
        position += 8
        if tag == SEQUENCE_DELIMITER:
            return fragments[1:], position
        if tag != ITEM:
            raise WrongTransferSyntax(
                "the pixels are not the fragments that a compressed transfer syntax consists of", tag=label(PIXEL_DATA)
            )
        if position + length > dicom.end:
            raise TruncatedFile("the file ends inside the compressed pixels; send it again", tag=label(PIXEL_DATA))
        fragments.append(Span(position, length))
        if len(fragments) > MAX_FRAGMENTS:
            raise BadHeader(f"the pixels are in more than {MAX_FRAGMENTS} fragments", tag=label(PIXEL_DATA))
        position += length


def _group(dicom: DicomFile, fragments: list[Span], layout: PixelLayout, syntax: TransferSyntax) -> tuple[Frame, ...]:
    """Fragments of each frame; the offset table is not needed, as frames show by their first bytes."""
    if layout.frames == 1 and fragments:
        return (tuple(fragments),)
    if len(fragments) == layout.frames:
        return tuple((fragment,) for fragment in fragments)
    frames: list[list[Span]] = []
    for fragment in fragments:
        dicom.stream.seek(fragment.offset)
        if syntax.family is Family.RLE or starts_codestream(dicom.stream.read(8)) or not frames:
            frames.append([])
        frames[-1].append(fragment)
    if len(frames) < layout.frames:
        raise TruncatedFile(
            f"the header declares {layout.frames} frames, the file holds {len(frames)}; send it again",
            tag=label(PIXEL_DATA),
        )
    if len(frames) > layout.frames:
        raise BadHeader(
            f"the header declares {layout.frames} frames, the file holds {len(frames)}", tag=label(NUMBER_OF_FRAMES)
        )
    return tuple(tuple(frame) for frame in frames)


_OTHER_SIGN = (
    f"{label(PIXEL_REPRESENTATION)} contradicts the sign in the JPEG 2000 pixels; "
    "values that both can mean are taken, other slices fail to decode"
)


def _check_codestream(
    dicom: DicomFile, frame: Frame, number: int, layout: PixelLayout, syntax: TransferSyntax
) -> Codestream:
    head = b""
    for span in frame:
        dicom.stream.seek(span.offset)
        head += dicom.stream.read(min(span.length, HEADER_BYTES - len(head)))
        if len(head) >= HEADER_BYTES:
            break
    codestream = inspect(head)
    if codestream is None or codestream.family is not syntax.family:
        found = "unknown bytes" if codestream is None else (codestream.family or "a JPEG process that is not decoded")
        raise WrongTransferSyntax(
            f"the header declares {syntax.name}, but frame {number} holds {found}; convert the file again",
            tag=label(TRANSFER_SYNTAX_UID),
        )
    if codestream.components != 1:
        raise BadHeader(
            f"frame {number} has {codestream.components} samples a pixel; CT slices have one",
            tag=label(SAMPLES_PER_PIXEL),
        )
    if codestream.rows is not None and (codestream.rows, codestream.columns) != (layout.rows, layout.columns):
        raise BadHeader(
            f"frame {number} is {codestream.rows} x {codestream.columns} pixels, "
            f"the header says {layout.rows} x {layout.columns}",
            tag=label(COLUMNS if codestream.rows == layout.rows else ROWS),
        )
    if codestream.precision > layout.bits_allocated:
        raise BadHeader(
            f"frame {number} has {codestream.precision} bits a pixel, the header allocates {layout.bits_allocated}",
            tag=label(BITS_ALLOCATED),
        )
    if syntax.family is Family.RLE:
        if codestream.precision != layout.bits_allocated:
            raise BadHeader(
                f"frame {number} has {codestream.precision // 8} byte(s) a pixel, "
                f"the header allocates {layout.bits_allocated} bits",
                tag=label(BITS_ALLOCATED),
            )
        return codestream
    if syntax.family is Family.JPEG and codestream.precision == 8 < layout.bits_stored:
        raise BadHeader(
            f"frame {number} is an 8-bit JPEG, the header stores {layout.bits_stored} bits; send the original slice",
            tag=label(BITS_STORED),
        )
    if not ends_codestream(_tail(dicom, frame)):
        raise TruncatedFile(
            f"the {syntax.family} pixels of frame {number} end without their end marker; send the file again",
            tag=label(PIXEL_DATA),
        )
    return codestream


def _tail(dicom: DicomFile, frame: Frame) -> bytes:
    tail = b""
    for span in reversed(frame):
        size = min(span.length, TAIL_BYTES - len(tail))
        dicom.stream.seek(span.offset + span.length - size)
        tail = dicom.stream.read(size) + tail
        if len(tail) >= TAIL_BYTES:
            break
    return tail
