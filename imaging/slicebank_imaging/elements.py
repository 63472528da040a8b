"""Walking the data elements of a DICOM file (PS3.5 section 7, PS3.10 section 7), for hostile bytes and many threads.

pydicom reads headers too, but it reports oddities through `warnings`, whose state is shared by all threads; it reads
past a truncated end without an error; it recurses and inflates without limit. Here every read is bounded by the file,
depth, count and inflated size have limits, and only the elements asked for are kept.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NoReturn

from slicebank_imaging.errors import BadHeader, NotDicom, TruncatedFile, WrongTransferSyntax
from slicebank_imaging.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    SYNTAXES,
)
from slicebank_imaging.tags import PIXEL_DATA, SEQUENCES, STOP, TRANSFER_SYNTAX_UID, WANTED, label
from slicebank_imaging.values import DataSet, Element

MAX_DEPTH = 16  # functional groups nest 3 deep; anything near this is an attack
MAX_ELEMENTS = 4_000_000  # 10,000 frames of functional groups hold about 800,000
MAX_VALUE_BYTES = 1 << 20  # header values kept here are short strings and numbers
MAX_INFLATED_BYTES = 32 << 20  # a deflated file is one slice of about 0.5 MB; they are inflated in memory
PIECE_BYTES = 1 << 20
WINDOW_BYTES = 8 << 10  # most headers are shorter; what is read beyond them is read again with the pixels

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD
# PS3.5 table 7.1-1: 2 reserved bytes and a 4-byte length; every other representation has a 2-byte length.
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
FIRST_GROUPS = frozenset({0x0002, 0x0004, 0x0008})  # where a data set without preamble can begin
PREAMBLE_BYTES = 132
ARCHIVE_SIGNATURES = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"BZh": "bzip2"}


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the value of Pixel Data lies: byte offset in the stream; length in bytes, None when undefined."""

    offset: int
    length: int | None
    vr: str


@dataclass(frozen=True, slots=True)
class DicomFile:
    """An open DICOM file, read up to Pixel Data.

    Attributes:
        syntax: Transfer syntax UID; guessed from the encoding where the file does not declare one.
        meta: File meta information (group 0002).
        data: The data set, with the elements of `tags.WANTED` only.
        pixel: Pixel Data, None where there is none.
        stream: Bytes that offsets refer to; the file itself, or the inflated data set.
        end: Length of the stream in bytes.
    """

    syntax: str
    meta: DataSet
    data: DataSet
    pixel: PixelElement | None
    stream: BinaryIO
    end: int


class _Walker:
    """Reads elements of one stream; keeps the wanted ones, steps over the others.

    It looks at the stream through a window, because a header is some hundred elements of a few bytes each.
    """

    def __init__(self, stream: BinaryIO, end: int, *, big_endian: bool) -> None:
        order = ">" if big_endian else "<"
        self._stream = stream
        self._end = end
        self._big_endian = big_endian
        self._tag_and_length = Struct(order + "HHL").unpack_from
        self._short_length = Struct(order + "H").unpack_from
        self._long_length = Struct(order + "L").unpack_from
        self._window = b""
        self._window_start = 0
        self.position = stream.tell()
        self.count = 0
        self.pixel: PixelElement | None = None

    def data_set(self, end: int, *, implicit: bool, depth: int = 0, only_group: int | None = None) -> DataSet:
        """Read elements up to `end`, an item delimiter, Pixel Data, or the first tag outside `only_group`."""
        elements: dict[int, Element] = {}
        while (start := self.position) < end:
            tag, vr, length, element_implicit = self._header(implicit)
            if only_group is not None and tag >> 16 != only_group:
                self.position = start
                break
            if tag == ITEM_DELIMITER:
                break
            if tag in (ITEM, SEQUENCE_DELIMITER):
                raise BadHeader(f"a sequence delimiter stands at byte {start}, outside any sequence")
            offset = self.position
            if depth == 0 and tag in STOP:
                self.pixel = PixelElement(offset, None if length == UNDEFINED else length, vr)
                if tag != PIXEL_DATA:
                    raise BadHeader(
                        "the pixels are floating-point numbers, which CT does not use; send the originals",
                        tag=label(tag),
                    )
                break
            self._budget()
            wanted = tag in WANTED
            if length == UNDEFINED or (wanted and tag in SEQUENCES):
                items = self._items(
                    tag, length, end, implicit=element_implicit or vr == "UN", depth=depth, wanted=wanted
                )
                if wanted:
                    elements[tag] = Element(vr, b"", items)
                continue
            if offset + length > end or offset + length > self._end:
                self._refuse_length(tag, offset, length)
            if wanted and length <= MAX_VALUE_BYTES:
                at = self._look(length)
                elements[tag] = Element(vr, self._window[at : at + length], ())
            self.position = offset + length
        return DataSet(elements, self._big_endian)

    def _header(self, implicit: bool) -> tuple[int, str, int, bool]:
        """Tag, value representation ("" when implicit), length, and whether this element is implicit."""
        at = self._look(8)
        group, element, length = self._tag_and_length(self._window, at)
        tag = group << 16 | element
        self.position += 8
        if implicit or group == 0xFFFE:
            return tag, "", length, implicit
        vr = self._window[at + 4 : at + 6]
        if vr in LONG_VRS:
            at = self._look(4)
            self.position += 4
            return tag, vr.decode("ascii"), self._long_length(self._window, at)[0], False
        if vr.isalpha() and vr.isupper() and vr.isascii():
            return tag, vr.decode("ascii"), self._short_length(self._window, at + 6)[0], False
        return tag, "", length, True  # some writers fall back to implicit inside an explicit data set

    def _items(
        self, sequence: int, length: int, end: int, *, implicit: bool, depth: int, wanted: bool
    ) -> tuple[DataSet, ...]:
        """The items of a sequence; empty where it is only stepped over."""
        if depth >= MAX_DEPTH:
            raise BadHeader(f"sequences are nested more than {MAX_DEPTH} deep", tag=label(sequence))
        if length != UNDEFINED:
            self._check_end(sequence, self.position, length, end)
            end = self.position + length
        items: list[DataSet] = []
        while self.position < end:
            at = self._look(8)
            group, element, item_length = self._tag_and_length(self._window, at)
            self.position += 8
            tag = group << 16 | element
            self._budget()
            if tag == SEQUENCE_DELIMITER:
                return tuple(items)
            if tag != ITEM:
                raise BadHeader(
                    f"a sequence holds something other than items at byte {self.position - 8}",
                    tag=label(sequence),
                )
            offset = self.position
            if item_length != UNDEFINED:
                self._check_end(sequence, offset, item_length, end)
                if not wanted:
                    self.position = offset + item_length
                    continue
            item_end = end if item_length == UNDEFINED else offset + item_length
            item = self.data_set(item_end, implicit=implicit, depth=depth + 1)
            if item_length != UNDEFINED:
                self.position = item_end
            if wanted:
                items.append(item)
        if length == UNDEFINED:
            raise TruncatedFile("the file ends inside a sequence; send it again", tag=label(sequence))
        return tuple(items)

    def _budget(self) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS:
            raise BadHeader(f"the header holds more than {MAX_ELEMENTS} elements")

    def _check_end(self, tag: int, offset: int, length: int, end: int) -> None:
        if offset + length > end or offset + length > self._end:
            self._refuse_length(tag, offset, length)

    def _refuse_length(self, tag: int, offset: int, length: int) -> NoReturn:
        if offset + length > self._end:
            missing = offset + length - self._end
            raise TruncatedFile(
                f"the header ends {missing} bytes early; the file is cut short: send it again", tag=label(tag)
            )
        raise BadHeader(f"an element at byte {offset} is longer than the sequence item around it", tag=label(tag))

    def _look(self, size: int) -> int:
        """Where in the window the next `size` bytes are; the window moves on where they are not all in it.

        Raises:
            TruncatedFile: the stream ends before.
        """
        at = self.position - self._window_start
        if at < 0 or at + size > len(self._window):
            self._stream.seek(self.position)
            self._window = self._stream.read(max(size, WINDOW_BYTES))
            self._window_start = self.position
            if len(self._window) < size:
                raise TruncatedFile("the file ends inside the header; send it again")
            return 0
        return at


@contextmanager
def open_dicom(path: Path) -> Iterator[DicomFile]:
    """Open a file and read its header up to Pixel Data.

    Raises:
        NotDicom: no data set, with or without the 128-byte preamble.
        TruncatedFile: the header reaches beyond the end of the file.
        BadHeader: an encoding no reader could follow.
    """
    with path.open("rb") as stream:
        yield _read(stream, path.stat().st_size)


def _read(stream: BinaryIO, end: int) -> DicomFile:
    start = stream.read(PREAMBLE_BYTES)
    if not start:
        raise NotDicom("the file is empty")
    has_preamble = start[128:] == b"DICM"
    if not has_preamble:
        _refuse_other_formats(start)
        stream.seek(0)
    walker = _Walker(stream, end, big_endian=False)
    try:
        meta = DataSet({}, big_endian=False)
        if has_preamble or start[:2] == b"\x02\x00":
            meta = walker.data_set(end, implicit=not _has_vr(stream), only_group=2)
            stream.seek(walker.position)
        declared = meta.text(TRANSFER_SYNTAX_UID)
        syntax, implicit, big_endian = _encoding(stream, declared)
        if declared in SYNTAXES and SYNTAXES[declared].deflated:
            stream = _inflate(stream)
            end = stream.tell()
            stream.seek(0)
        walker = _Walker(stream, end, big_endian=big_endian)
        data = walker.data_set(end, implicit=implicit)
    except (TruncatedFile, BadHeader) as error:
        if not has_preamble and walker.count < 4:  # a few random bytes can look like one or two elements
            raise NotDicom(_NOT_DICOM) from error
        raise
    if not data and walker.pixel is None and not has_preamble:
        raise NotDicom(_NOT_DICOM)
    return DicomFile(syntax, meta, data, walker.pixel, stream, end)


_NOT_DICOM = "this is neither a DICOM file nor a NIfTI volume; send the .dcm or .nii files of a CT series, or a zip or tar of them"


def _refuse_other_formats(start: bytes) -> None:
    for signature, name in ARCHIVE_SIGNATURES.items():
        if start.startswith(signature):
            raise NotDicom(
                f"this is a {name} archive that was not opened; send the files in it, or a zip or tar of them"
            )
    little = int.from_bytes(start[:2], "little")
    big = int.from_bytes(start[:2], "big")
    if len(start) < 8 or (little not in FIRST_GROUPS and big not in FIRST_GROUPS):
        raise NotDicom(_NOT_DICOM)


def _has_vr(stream: BinaryIO) -> bool:
    """Whether the element at the stream's position names a value representation; the position is kept."""
    head = stream.read(8)
    stream.seek(-len(head), 1)
    vr = head[4:6]
    return len(vr) == 2 and vr.isalpha() and vr.isupper() and vr.isascii()


def _encoding(stream: BinaryIO, declared: str) -> tuple[str, bool, bool]:
    """Transfer syntax UID, implicit VR, big endian; many writers declare the wrong one of the native syntaxes."""
    known = SYNTAXES.get(declared)
    if known is not None and known.deflated:
        return declared, False, False
    explicit = _has_vr(stream)
    if declared and (known is None or known.encapsulated):
        return declared, not explicit, False
    if not explicit:
        return IMPLICIT_VR_LITTLE_ENDIAN, True, False
    head = stream.read(2)
    stream.seek(-len(head), 1)
    # Groups at the start of a data set are below 0x0400, so that swapped bytes show.
    if int.from_bytes(head, "little") >= 0x0400:
        return EXPLICIT_VR_BIG_ENDIAN, False, True
    return EXPLICIT_VR_LITTLE_ENDIAN, False, False


def _inflate(stream: BinaryIO) -> BytesIO:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    start = stream.tell()
    inflated = BytesIO()
    try:
        while not inflater.eof and (packed := inflater.unconsumed_tail or stream.read(PIECE_BYTES)):
            inflated.write(inflater.decompress(packed, PIECE_BYTES))
            if inflated.tell() > MAX_INFLATED_BYTES:
                raise BadHeader(
                    f"the deflated data set is larger than {MAX_INFLATED_BYTES >> 20} MB; send it uncompressed"
                )
    except zlib.error:
        stream.seek(start)
        if _has_vr(stream):
            raise WrongTransferSyntax(
                "the header declares a deflated data set, but it is not compressed; convert the file again",
                tag=label(TRANSFER_SYNTAX_UID),
            ) from None
        raise TruncatedFile("the deflated data set is damaged; send the file again") from None
    if not inflater.eof:
        raise TruncatedFile("the deflated data set ends early; send the file again")
    return inflated
