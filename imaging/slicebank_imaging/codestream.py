"""The first bytes of a compressed frame: what it is, and how large, without decoding it."""

from dataclasses import dataclass
from itertools import pairwise

from slicebank_imaging.syntaxes import Family

HEADER_BYTES = 65_536  # JPEG application segments before the frame header are at most 64 KB each; most files have one
RLE_HEADER_BYTES = 64  # PS3.5 G.5
_JPEG_FAMILIES = {  # start-of-frame markers: ITU-T T.81 table B.1, ITU-T T.87 table C.1
    0xC0: Family.JPEG,
    0xC1: Family.JPEG,
    0xC3: Family.JPEG_LOSSLESS,
    0xF7: Family.JPEG_LS,
}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment


@dataclass(frozen=True, slots=True)
class Codestream:
    """What the header of one codestream says; rows and columns are None for RLE, which does not store them.

    Attributes:
        family: The kind of compression; None for a JPEG process that is not decoded here (progressive, hierarchical).
        rows: Height in pixels.
        columns: Width in pixels.
        precision: Bits of one sample; for RLE those of its byte segments.
        signed: Whether samples are two's complement; only JPEG 2000 stores it.
        components: Samples of one pixel.
    """

    family: Family | None
    rows: int | None
    columns: int | None
    precision: int
    signed: bool
    components: int


def starts_codestream(head: bytes) -> bool:
    """Whether a fragment begins a frame rather than goes on with one (JPEG and JPEG 2000)."""
    return head[:3] == b"\xff\xd8\xff" or head[:4] == b"\xff\x4f\xff\x51" or head[4:8] == b"jP  "


def inspect(head: bytes) -> Codestream | None:
    """Read the header of a codestream from its first bytes; None where nothing known begins there."""
    if head[4:8] == b"jP  ":  # a JP2 file around the codestream, which DICOM forbids and some writers send
        start = head.find(b"\xff\x4f\xff\x51")
        return _jpeg_2000(head[start:]) if start >= 0 else None
    if head[:4] == b"\xff\x4f\xff\x51":
        return _jpeg_2000(head)
    if head[:2] == b"\xff\xd8":
        return _jpeg(head)
    return _rle(head)


def _jpeg(head: bytes) -> Codestream | None:
    position = 2
    while position + 4 <= len(head):
        if head[position] != 0xFF:
            return None
        marker = head[position + 1]
        if marker == 0xFF:  # fill bytes may precede any marker
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        is_frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_frame or marker == 0xF7:
            segment = head[position + 4 : position + 10]
            if len(segment) < 6:
                return None
            return Codestream(
                family=_JPEG_FAMILIES.get(marker),
                rows=int.from_bytes(segment[1:3], "big"),
                columns=int.from_bytes(segment[3:5], "big"),
                precision=segment[0],
                signed=False,
                components=segment[5],
            )
        length = int.from_bytes(head[position + 2 : position + 4], "big")
        if marker in (0xD9, 0xDA) or length < 2:
            return None
        position += 2 + length
    return None


def _jpeg_2000(head: bytes) -> Codestream | None:
    """Read the SIZ segment, which follows SOC at once (ISO/IEC 15444-1 A.5.1)."""
    if len(head) < 43:
        return None
    width, height, left, top = (int.from_bytes(head[start : start + 4], "big") for start in (8, 12, 16, 20))
    depth = head[42]
    return Codestream(
        family=Family.JPEG_2000,
        rows=height - top,
        columns=width - left,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        components=int.from_bytes(head[40:42], "big"),
    )


def _rle(head: bytes) -> Codestream | None:
    """Judge the RLE header: a segment count and 15 offsets, the first of which is the header's own length."""
    if len(head) < RLE_HEADER_BYTES:
        return None
    numbers = [int.from_bytes(head[start : start + 4], "little") for start in range(0, RLE_HEADER_BYTES, 4)]
    count, offsets = numbers[0], numbers[1:]
    if not 1 <= count <= 15 or offsets[0] != RLE_HEADER_BYTES:
        return None
    used = offsets[:count]
    if any(later <= earlier for earlier, later in pairwise(used)) or any(offsets[count:]):
        return None
    return Codestream(Family.RLE, rows=None, columns=None, precision=8 * count, signed=False, components=1)


def ends_codestream(tail: bytes) -> bool:
    """Whether the last bytes of a JPEG, JPEG-LS or JPEG 2000 frame hold its end marker, which no data before it can."""
    return b"\xff\xd9" in tail
