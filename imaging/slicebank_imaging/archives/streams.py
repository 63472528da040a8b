"""Bytes out of compressed ones, a bounded piece at a time, every one of them counted."""

import bz2
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Protocol

from slicebank_imaging.archives.kinds import ArchiveKind
from slicebank_imaging.archives.limits import Meter
from slicebank_imaging.errors import ArchiveRefused, ArchiveTooLarge, BadArchive

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PACKED_BYTES = 64 << 10  # zlib copies what it did not reach of them with every piece
PIECE_BYTES = 256 << 10  # of unpacked bytes; larger ones fall out of the processor's cache and are slower
MAX_EMPTY_FRAMES = 1000  # in a row; compressors write one or two, and each costs as much as a full one
_XZ_OVERHEAD_BYTES = 1 << 20  # liblzma counts its own state against the limit
DAMAGED = "the file is damaged or cut short; send it again"

# How the next part of a file starts that was compressed in several; gzip, xz and zstd may pad parts with zeros.
_FRAME_MAGICS = MappingProxyType(
    {
        ArchiveKind.GZIP: b"\x1f\x8b",
        ArchiveKind.BZIP2: b"BZh",
        ArchiveKind.XZ: b"\xfd7zXZ\0",
        ArchiveKind.ZSTD: b"\x28\xb5\x2f\xfd",
    }
)


class Decompressor(Protocol):
    """What bz2, lzma and zstd have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of one frame was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without further bytes."""

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the end of the frame."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Up to `max_length` bytes; the rest of `data` is kept."""


class Deflate:
    """zlib in the manner of the others."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the end of one frame was reached."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the end of the frame."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Up to `max_length` bytes; the rest of `data` is kept."""
        tail = self._inner.unconsumed_tail
        piece = self._inner.decompress(tail + data if tail else data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(piece) < max_length
        return piece


def decompressor(kind: ArchiveKind, max_window_bytes: int) -> Decompressor:
    """A fresh decompressor that keeps no more memory than its window."""
    match kind:
        case ArchiveKind.GZIP:
            return Deflate(16 + zlib.MAX_WBITS)
        case ArchiveKind.BZIP2:
            return bz2.BZ2Decompressor()
        case ArchiveKind.XZ:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=max_window_bytes + _XZ_OVERHEAD_BYTES)
        case ArchiveKind.ZSTD:
            log = max_window_bytes.bit_length() - 1
            return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: log})
    raise ValueError(f"{kind} is no compression")


class Inflated(io.RawIOBase):
    """A compressed file as a stream of what it holds.

    Raises:
        BadArchive: the bytes are damaged or cut short; what came before was handed out.
        ArchiveTooLarge: over a limit of the upload, or it needs more memory than allowed.
    """

    def __init__(
        self,
        packed: Callable[[int], bytes],
        fresh: Callable[[], Decompressor],
        meter: Meter,
        *,
        frame_magic: bytes = b"",
    ) -> None:
        super().__init__()
        self._packed = packed
        self._fresh = fresh
        self._meter = meter
        self._frame_magic = frame_magic
        self._decompressor = fresh()
        self._ahead = b""  # read beyond the end of a frame
        self._ended = False
        self._empty_frames = 0
        self._failed: ArchiveRefused | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a buffer as far as the file reaches."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._failed is None:
            try:
                piece = self._next(min(len(view) - filled, PIECE_BYTES))
            except ArchiveRefused as error:
                self._failed = error
                break
            if not piece:
                break
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        if filled == 0 and self._failed is not None:
            raise self._failed
        return filled

    def write_to(self, sink: IO[bytes], size: int) -> int:
        """Copy all of it into a file; returns its CRC-32.

        Raises:
            BadArchive: it is not of that size.
        """
        checksum, left = 0, size
        while piece := self._next(PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                break
            checksum = zlib.crc32(piece, checksum)
            write_all(sink, piece)
        if left:
            raise BadArchive(DAMAGED)
        return checksum

    def _next(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        while not self._ended:
            data = b""
            if self._decompressor.needs_input and not (data := self._read_packed()):
                raise BadArchive(DAMAGED)
            try:
                piece = self._decompressor.decompress(data, size)
            except (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, ValueError, EOFError, MemoryError) as error:
                raise self._refusal(error) from error
            self._empty_frames = 0 if piece else self._empty_frames
            if self._decompressor.eof:
                self._start_next_frame()
            if piece:
                self._meter.add_bytes(len(piece))
                return piece
        return b""

    def _read_packed(self) -> bytes:
        data, self._ahead = self._ahead or self._packed(PACKED_BYTES), b""
        return data

    def _start_next_frame(self) -> None:
        """Go on behind the end of a frame; what follows the last one and is no frame is left, as gzip leaves it."""
        rest = self._decompressor.unused_data.lstrip(b"\0") if self._frame_magic else b""
        while self._frame_magic and len(rest) < len(self._frame_magic) and (more := self._packed(PACKED_BYTES)):
            rest = (rest + more).lstrip(b"\0")
        if not self._frame_magic or not rest.startswith(self._frame_magic):
            self._ended = True
            return
        self._empty_frames += 1
        if self._empty_frames > MAX_EMPTY_FRAMES:
            raise BadArchive("the file is made of empty parts; compress it again")
        self._decompressor = self._fresh()
        self._ahead = rest

    def _refusal(self, error: Exception) -> ArchiveRefused:
        if isinstance(error, MemoryError) or "memory" in str(error).lower():
            limit = self._meter.limits.max_window_bytes
            return ArchiveTooLarge(f"unpacking would need more than {limit} bytes of memory; compress it with less")
        return BadArchive(DAMAGED)


def inflated_file(file: IO[bytes], kind: ArchiveKind, meter: Meter) -> io.BufferedReader:
    """What a compressed file holds."""
    window = meter.limits.max_window_bytes
    stream = Inflated(file.read, lambda: decompressor(kind, window), meter, frame_magic=_FRAME_MAGICS[kind])
    return io.BufferedReader(stream, PIECE_BYTES)


def write_all(sink: IO[bytes], piece: bytes | memoryview) -> None:
    """Write a whole piece into a file opened without buffer, which may take less at a time."""
    left = memoryview(piece)
    while left:
        left = left[sink.write(left) :]
