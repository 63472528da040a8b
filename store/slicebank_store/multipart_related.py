"""The parts of a multipart/related message (RFC 2387), as DICOMweb sends them (PS3.18 section 8.6.1.2), written to files as they arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

RELATED = "multipart/related"

# Text before the first part is allowed (RFC 2046 section 5.1.1), and no DICOMweb software sends more than a line break.
_MAX_PREAMBLE_BYTES = 4096


class MalformedMultipart(ValueError):
    """The bytes are not the multipart/related message that their Content-Type names; the sentence says why."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type header.

    Attributes:
        name: type and subtype in lower case; empty where the header is missing or malformed.
        boundary: of a multipart message; empty where none is named.
        root: `type` parameter of multipart/related, in lower case: what its parts are. Empty where none is named.
    """

    name: str
    boundary: str
    root: str

    @classmethod
    def parse(cls, content_type: str) -> MediaType:
        """Reads a header, with or without quotes around its parameters."""
        header = Message()
        header["Content-Type"] = " ".join(content_type.split())
        # A header that is no media type is given back as text/plain (RFC 2045 section 5.2).
        name = content_type.partition(";")[0].strip().lower()
        root = header.get_param("type", "")
        return cls(
            name=name if name == header.get_content_type() else "",
            boundary=(header.get_boundary() or "").strip(),
            root=root.strip().lower() if isinstance(root, str) else "",
        )


@dataclass(frozen=True, slots=True)
class RelatedPart:
    """One whole part.

    Attributes:
        path: the file that holds it.
        media_type: type and subtype in lower case; of the message's `type` parameter where the part names none.
        size_bytes: of its content.
    """

    path: Path
    media_type: str
    size_bytes: int


class RelatedParts:
    """Writes every part to a file of its own, in bounded memory, whatever its size and however the bytes are cut."""

    def __init__(self, content_type: str, *, place: Callable[[int, str], Path]) -> None:
        """Nothing is written yet.

        Args:
            content_type: of the message.
            place: called as each part begins, with its number from 0 and its media type: names a file that is not there yet, or raises
                to refuse the message.

        Raises:
            MalformedMultipart: the header is not that of a multipart/related message.
        """
        media = MediaType.parse(content_type)
        if media.name != RELATED or not media.boundary:
            raise MalformedMultipart("the Content-Type must be multipart/related and name a boundary")
        self.media = media
        self._place = place
        self._preamble: bytearray | None = bytearray()
        self._delimiter = b"--" + media.boundary.encode("ascii", "replace")
        self._headers: dict[bytes, bytes] = {}
        self._field = bytearray()
        self._value = bytearray()
        self._begun = 0
        self._file: BinaryIO | None = None
        self._part = RelatedPart(Path(), "", 0)
        self._whole: list[RelatedPart] = []
        self._ended = False
        try:
            self._parser = MultipartParser(
                self._delimiter[2:],
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MalformedMultipart("the boundary is longer than the 70 characters of RFC 2046") from error

    def feed(self, block: bytes) -> list[RelatedPart]:
        """Takes the next bytes; gives the parts that they complete, whose files are closed.

        Raises:
            MalformedMultipart: not multipart/related.
            OSError: a file cannot be written.
        """
        if self._preamble is not None:
            found = self._past_preamble(block)
            if found is None:
                return []
            block = found
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise MalformedMultipart("the body is not the multipart/related that its Content-Type names") from error
        whole, self._whole = self._whole, []
        return whole

    def finish(self) -> None:
        """Ends the message.

        Raises:
            MalformedMultipart: it stops before its closing boundary.
        """
        self.close()
        if not self._ended:
            raise MalformedMultipart("the multipart body stops before its closing boundary; send it again")

    def close(self) -> None:
        """Closes the part being written."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _past_preamble(self, block: bytes) -> bytes | None:
        """The bytes from the first boundary on, once it has come."""
        head = self._preamble = (self._preamble or bytearray()) + block
        at = head.find(self._delimiter)
        while at > 0 and head[at - 1 : at] != b"\n":
            at = head.find(self._delimiter, at + 1)
        if at >= 0:
            self._preamble = None
            return bytes(memoryview(head)[at:])
        if len(head) > _MAX_PREAMBLE_BYTES:
            raise MalformedMultipart("the body does not begin with the boundary that its Content-Type names")
        return None

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        own = self._headers.get(b"content-type")
        media_type = self.media.root if own is None else MediaType.parse(own.decode("latin-1")).name
        path = self._place(self._begun, media_type)
        self._begun += 1
        self._part = RelatedPart(path, media_type, 0)
        self._file = path.open("xb")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])

    def _on_part_end(self) -> None:
        if self._file is not None:
            size = self._file.tell()
            self.close()
            self._whole.append(RelatedPart(self._part.path, self._part.media_type, size))

    def _on_end(self) -> None:
        self._ended = True
