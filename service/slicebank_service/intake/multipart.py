"""The files of a multipart/form-data body (RFC 7578), written as they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from slicebank_imaging.errors import TooManyFiles
from slicebank_service.errors import MalformedUpload
from slicebank_store.intake.received import ReceivedFile

FIELD = "files"


class MultipartFiles:
    """Writes every part of the field `files` to a file of its own; names are the client's, file names on disk are ordinals."""

    def __init__(self, folder: Path, content_type: str, *, max_files: int) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise MalformedUpload("the Content-Type names no boundary; let the HTTP library write that header itself")
        self._folder = folder
        self._max_files = max_files
        self._files: list[ReceivedFile] = []
        self._file: BinaryIO | None = None
        self._headers: dict[bytes, bytes] = {}
        self._field = bytearray()
        self._value = bytearray()
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self.close,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MalformedUpload("the multipart boundary is longer than the 70 characters of RFC 2046") from error

    def feed(self, block: bytes) -> None:
        """Takes the next bytes.

        Raises:
            MalformedUpload: not multipart, or a part that is no file of the field `files`.
            TooManyFiles: more files than the limit.
        """
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise MalformedUpload("the body is not the multipart/form-data that its Content-Type names") from error

    def finish(self) -> tuple[ReceivedFile, ...]:
        """Ends the body.

        Raises:
            MalformedUpload: it stops before its closing boundary.
        """
        self.close()
        if not self._ended:
            raise MalformedUpload("the multipart body stops before its closing boundary; send it again")
        return tuple(self._files)

    def close(self) -> None:
        """Closes the part being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if disposition != b"form-data" or field != FIELD or b"filename" not in options:
            raise MalformedUpload(
                f"every part of the form must be a file of the field `{FIELD}`; other values go into the query, for example ?encoder="
            )
        if len(self._files) == self._max_files:
            raise TooManyFiles(
                f"the upload holds more than the {self._max_files} files taken at once; send the study in parts"
            )
        ordinal = len(self._files)
        name = options[b"filename"].decode("utf-8", "replace") or f"part {ordinal}"
        received = ReceivedFile(self._folder / f"part-{ordinal:06d}", name)
        self._file = received.path.open("xb")
        self._files.append(received)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])

    def _on_end(self) -> None:
        self._ended = True
