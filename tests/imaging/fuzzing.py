"""Damage to DICOM and NIfTI files as a pure function of a seed: what a broken disk, a bad converter or an attacker would send."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

_START = 132  # PS3.10 section 7.1: preamble and DICM
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_VRS = tuple(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
_ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
_SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
# NumberOfFrames, PlanarConfiguration, Rows, Columns, bits, sign, samples, padding, lookup tables.
_SHAPE = frozenset(
    (0x0028, element)
    for element in (0x0002, 0x0004, 0x0006, 0x0008, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103, 0x0120, 0x0121)
)
_EXTREMES = (0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 64, 255, 256, 511, 513, 4096, 32767, 32768, 65535)
_LENGTHS = (0, 1, 2, 3, 7, 8, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_TEXTS = (
    *(b"", b" ", b"\\", b"\0", b"-", b"+", b".", b"e", b"1e999", b"-1e999", b"nan", b"inf", b"-0", b"1e-320", b"0x10"),
    *(b"1\\2", b"9" * 400, b"1." + b"0" * 999, b"\\" * 2000, b"1\\" * 3000, b"\xff\xfe", b"1_0", b"\xd9\xa1", b"1,5"),
    *(b"../../etc/passwd", b"%s%n", b"1.2." * 90, b"\x1b$B", b"CT\0CT", b"1e308\\1e308\\1e308"),
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, 352.5, 1e7, float("nan"), float("inf"), float("-inf"))
_SYNTAXES = tuple(
    f"1.2.840.10008.1.2{ending}".encode()
    for ending in (
        "",
        ".1",
        ".1.99",
        ".2",
        ".5",
        ".4.50",
        ".4.51",
        ".4.57",
        ".4.70",
        ".4.80",
        ".4.81",
        ".4.90",
        ".4.91",
    )
)


@dataclass(frozen=True, slots=True)
class Span:
    """Where one element of the top level stands; offsets in bytes.

    Attributes:
        vr: Offset of the value representation; None where it is implicit.
        length: Offset of the length.
        wide: The length has 4 bytes, not 2.
    """

    tag: tuple[int, int]
    start: int
    vr: int | None
    length: int
    wide: bool
    value: int
    end: int


def spans(content: bytes) -> list[Span]:
    """Elements of the top level as far as they can be followed, little endian; undefined lengths end the list."""
    found: list[Span] = []
    at = _START if content[128:132] == b"DICM" else 0
    while at + 8 <= len(content):
        tag = struct.unpack_from("<HH", content, at)
        vr = content[at + 4 : at + 6]
        if vr not in _VRS:
            span = Span(tag, at, None, at + 4, True, at + 8, at + 8 + struct.unpack_from("<L", content, at + 4)[0])
        elif vr in _LONG_VRS and at + 12 <= len(content):
            size = struct.unpack_from("<L", content, at + 8)[0]
            span = Span(tag, at, at + 4, at + 8, True, at + 12, at + 12 + size)
        else:
            size = struct.unpack_from("<H", content, at + 6)[0]
            span = Span(tag, at, at + 4, at + 6, False, at + 8, at + 8 + size)
        if span.end > len(content):
            if span.value <= len(content):
                found.append(Span(tag, at, span.vr, span.length, span.wide, span.value, len(content)))
            break
        found.append(span)
        at = span.end
    return found


def mutated(source: bytes, seed: int) -> bytes:
    """A damaged copy of a file; the same for the same seed."""
    chance = random.Random(seed)
    content = bytearray(source)
    mutations = NIFTI_MUTATIONS if source[344:347] in (b"n+1", b"ni1") else MUTATIONS
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(mutations)(content, chance)
    return bytes(content)


def _pick(content: bytearray, chance: random.Random) -> Span | None:
    found = spans(bytes(content))
    return chance.choice(found) if found else None


def _pixels(content: bytearray) -> Span | None:
    return next((span for span in spans(bytes(content)) if span.tag == _PIXEL_DATA), None)


def _set_value(content: bytearray, span: Span, value: bytes) -> None:
    value += b" " * (len(value) % 2)
    content[span.value : span.end] = value
    size = struct.pack("<L", len(value)) if span.wide else struct.pack("<H", len(value) & 0xFFFF)
    content[span.length : span.length + len(size)] = size


def flip_anywhere(content: bytearray, chance: random.Random) -> None:
    """Bytes of any place."""
    for _ in range(chance.randrange(1, 30) if content else 0):
        content[chance.randrange(len(content))] = chance.randrange(256)


def flip_header(content: bytearray, chance: random.Random) -> None:
    """Bytes before the pixels."""
    pixels = _pixels(content)
    stop = pixels.start if pixels is not None else len(content)
    for _ in range(chance.randrange(1, 12) if stop else 0):
        content[chance.randrange(stop)] = chance.randrange(256)


def cut(content: bytearray, chance: random.Random) -> None:
    """The end of the file, at any place or inside the header."""
    pixels = _pixels(content)
    stop = pixels.value + 200 if pixels is not None and chance.random() < 0.5 else len(content)
    del content[chance.randrange(min(stop, len(content)) + 1) :]


def lie_about_length(content: bytearray, chance: random.Random) -> None:
    """The length of one element."""
    span = _pick(content, chance)
    if span is None:
        return
    true = span.end - span.value
    lie = chance.choice(
        (*_LENGTHS, true - 2, true - 1, true + 1, true + 2, len(content), len(content) - span.value + 1)
    )
    size = struct.pack("<L", lie & 0xFFFFFFFF) if span.wide else struct.pack("<H", lie & 0xFFFF)
    content[span.length : span.length + len(size)] = size


def change_vr(content: bytearray, chance: random.Random) -> None:
    """The value representation of one element."""
    span = _pick(content, chance)
    if span is not None and span.vr is not None:
        content[span.vr : span.vr + 2] = chance.choice((*_VRS, b"??", b"\0\0", b"ZZ", b"\xff\xff"))


def change_shape(content: bytearray, chance: random.Random) -> None:
    """Rows, columns, frames, bits, sign or samples."""
    found = [span for span in spans(bytes(content)) if span.tag in _SHAPE]
    if found:
        span, number = chance.choice(found), chance.choice(_EXTREMES)
        _set_value(content, span, str(number).encode() if span.tag[1] == 8 else struct.pack("<H", number))


def change_text(content: bytearray, chance: random.Random) -> None:
    """One value becomes a text that no number parser likes."""
    span = _pick(content, chance)
    if span is not None and span.tag != _PIXEL_DATA:
        _set_value(content, span, chance.choice(_TEXTS))


def change_syntax(content: bytearray, chance: random.Random) -> None:
    """The transfer syntax, to one that the bytes do not have."""
    span = next((span for span in spans(bytes(content)) if span.tag == (0x0002, 0x0010)), None)
    if span is not None:
        value = chance.choice(_SYNTAXES)
        _set_value(content, span, value + b"\0" * (len(value) % 2))


def damage_pixels(content: bytearray, chance: random.Random) -> None:
    """Bytes of the pixels, most of all where codestreams have their headers."""
    pixels = _pixels(content)
    if pixels is None or pixels.value >= len(content):
        return
    reach = chance.choice((40, 120, 400, 4000, len(content)))
    for _ in range(chance.randrange(1, 8)):
        content[chance.randrange(pixels.value, min(len(content), pixels.value + reach))] = chance.randrange(256)


def move_pixels(content: bytearray, chance: random.Random) -> None:
    """A run of the pixels is lost, repeated or zeroed."""
    pixels = _pixels(content)
    if pixels is None or pixels.value >= len(content):
        return
    start = chance.randrange(pixels.value, len(content))
    stop = min(len(content), start + chance.choice((1, 2, 7, 64, 1000, 20_000)))
    content[start:stop] = chance.choice((b"", bytes(content[start:stop]) * 2, bytes(stop - start)))


def nest(content: bytearray, chance: random.Random) -> None:
    """Sequences inside sequences, far deeper than any object has them, some of them never closed."""
    depth = chance.choice((5, 50, 500, 5000, 50_000))
    tag = chance.choice(((0x0008, 0x1140), (0x5200, 0x9229), (0x0009, 0x1001), (0x0028, 0x9110)))
    head = struct.pack("<HH2sHL", *tag, b"SQ", 0, 0xFFFFFFFF)
    if chance.random() < 0.3:
        head = struct.pack("<HHL", *tag, 0xFFFFFFFF)
    tail = (_ITEM_END + _SEQUENCE_END) * (depth if chance.random() < 0.7 else 0)
    _insert(content, chance, (head + _ITEM) * depth + tail)


def add_private(content: bytearray, chance: random.Random) -> None:
    """Private elements with any value representation and any bytes."""
    added = b""
    for _ in range(chance.choice((1, 3, 200))):
        vr = chance.choice((*_VRS, b"??"))
        value = chance.randbytes(chance.choice((0, 2, 8, 64, 1000)))
        tag = struct.pack("<HH", chance.randrange(0x0009, 0x7FDF) | 1, chance.randrange(0x10000))
        wide = vr in _LONG_VRS
        added += tag + vr + (struct.pack("<HL", 0, len(value)) if wide else struct.pack("<H", len(value))) + value
    _insert(content, chance, added)


def repeat_element(content: bytearray, chance: random.Random) -> None:
    """One element twice or many times, or somewhere else; long ones a few times, as the worker's own memory is bounded, too."""
    span = _pick(content, chance)
    if span is not None and span.tag != _PIXEL_DATA:
        element = bytes(content[span.start : span.end])
        _insert(content, chance, element * chance.choice((1, 2, 300 if len(element) < 4096 else 3)))


def drop_element(content: bytearray, chance: random.Random) -> None:
    """One element less."""
    span = _pick(content, chance)
    if span is not None:
        del content[span.start : span.end]


def change_nifti_integers(content: bytearray, chance: random.Random) -> None:
    """Dimensions, data type, bits or the codes of the two orientations of a NIfTI-1 header."""
    at = chance.choice((*range(40, 56, 2), 70, 72, 252, 254))
    content[at : at + 2] = struct.pack("<H", chance.choice((*_EXTREMES, chance.randrange(0x10000))))


def change_nifti_floats(content: bytearray, chance: random.Random) -> None:
    """Spacing, offset of the data, scaling or orientation of a NIfTI-1 header."""
    at = chance.choice((*range(76, 120, 4), *range(256, 328, 4)))
    content[at : at + 4] = struct.pack("<f", chance.choice(_FLOATS))


def flip_nifti_header(content: bytearray, chance: random.Random) -> None:
    """Any byte of the header and of what may follow it."""
    for _ in range(chance.randrange(1, 12) if content else 0):
        content[chance.randrange(min(360, len(content)))] = chance.randrange(256)


def _insert(content: bytearray, chance: random.Random, added: bytes) -> None:
    found = spans(bytes(content))
    at = chance.choice(found).start if found else 0
    content[at:at] = added


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_anywhere,
    flip_header,
    cut,
    lie_about_length,
    lie_about_length,
    change_vr,
    change_shape,
    change_shape,
    change_text,
    change_text,
    change_syntax,
    damage_pixels,
    damage_pixels,
    move_pixels,
    nest,
    add_private,
    repeat_element,
    drop_element,
)
NIFTI_MUTATIONS = (
    change_nifti_integers,
    change_nifti_integers,
    change_nifti_floats,
    change_nifti_floats,
    flip_nifti_header,
    flip_anywhere,
    cut,
)
