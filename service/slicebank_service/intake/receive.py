"""The body of an upload, streamed to staging. Parsing, hashing and writing run on a thread, block by block."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from email.message import Message
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect

from slicebank_imaging.archives.kinds import ArchiveKind
from slicebank_service.errors import (
    BodyTooLarge,
    ClientGone,
    DigestMismatch,
    EmptyBody,
    UnsupportedMedia,
)
from slicebank_service.intake.blocks import Blocks
from slicebank_service.intake.multipart import MultipartFiles
from slicebank_service.intake.received import ReceivedUpload, Sink
from slicebank_store.intake.received import ReceivedFile

_SINGLE_TYPES: Mapping[str, ArchiveKind | None] = MappingProxyType(
    {
        "application/dicom": None,
        "application/nifti": None,
        "application/x-nifti": None,
        "application/octet-stream": None,
        # What curl says of any file, and what says nothing: the bytes decide.
        "application/x-www-form-urlencoded": None,
        "": None,
        "application/zip": ArchiveKind.ZIP,
        "application/x-zip-compressed": ArchiveKind.ZIP,
        "application/x-tar": ArchiveKind.TAR,
        "application/tar": ArchiveKind.TAR,
        "application/gzip": ArchiveKind.GZIP,
        "application/x-gzip": ArchiveKind.GZIP,
        "application/x-gtar": ArchiveKind.TAR,
        "application/x-tgz": ArchiveKind.GZIP,
        "application/zstd": ArchiveKind.ZSTD,
        "application/x-xz": ArchiveKind.XZ,
        "application/x-bzip2": ArchiveKind.BZIP2,
    }
)
_TAKEN = (
    "multipart/form-data with `files`, application/zip, application/x-tar (plain, gzip, zstd, xz or bzip2), application/dicom, "
    "application/nifti"
)


class SingleFile:
    """A body that is one file: an archive or one DICOM object."""

    def __init__(self, folder: Path, archive: ArchiveKind | None) -> None:
        self._received = ReceivedFile(folder / "body", "body", archive)
        self._file: BinaryIO = self._received.path.open("xb")

    def feed(self, block: bytes) -> None:
        """Takes the next bytes."""
        self._file.write(block)

    def finish(self) -> tuple[ReceivedFile, ...]:
        """Closes the file."""
        self._file.close()
        return (self._received,)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


async def receive(
    stream: AsyncIterator[bytes],
    folder: Path,
    *,
    content_type: str,
    content_encoding: str,
    content_digest: str,
    max_bytes: int,
    max_files: int,
    check_room: Callable[[int], None],
) -> ReceivedUpload:
    """Streams a body into an existing folder.

    Args:
        stream: the body's chunks; raises ClientDisconnect when the client goes away.
        folder: empty folder of this upload alone.
        content_type: the request's Content-Type.
        content_encoding: the request's Content-Encoding; gzip is taken for tar.
        content_digest: the request's Content-Digest (RFC 9530); checked when it names sha-256.
        max_bytes: most bytes taken.
        max_files: most files taken.
        check_room: called with the bytes to be written before each block of them; raises StorageFull where they must not be.

    Raises:
        EmptyBody, MalformedUpload, UnsupportedMedia, BodyTooLarge, TooManyFiles, DigestMismatch, StorageFull, ClientGone: as they say.
        OSError: the disk cannot be written.
    """
    promised = _promised_sha256(content_digest)
    sink = await anyio.to_thread.run_sync(_open_sink, content_type, content_encoding, folder, max_files)
    digest = None if promised is None else hashlib.sha256()  # costs as much as everything else together
    size = 0

    def take(block: bytes) -> None:
        check_room(len(block))
        if digest is not None:
            digest.update(block)
        sink.feed(block)

    blocks = Blocks(take)
    try:
        async for chunk in stream:
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLarge(
                    f"the upload is larger than the {max_bytes} bytes taken at once; send the study in parts"
                )
            await blocks.add(chunk)
        if size == 0:
            raise EmptyBody(f"the body is empty; send {_TAKEN}")
        await blocks.finish()
        files = await anyio.to_thread.run_sync(sink.finish)
    except ClientDisconnect as error:
        raise ClientGone("the connection closed before the upload was complete; nothing of it was kept") from error
    finally:
        with anyio.CancelScope(shield=True):
            await blocks.settle()
        sink.close()
    if digest is not None and digest.digest() != promised:
        raise DigestMismatch("the bytes received are not those that Content-Digest names; send the upload again")
    return ReceivedUpload(files, size)


def _open_sink(content_type: str, content_encoding: str, folder: Path, max_files: int) -> Sink:
    header = Message()
    header["Content-Type"] = content_type
    media_type = header.get_content_type() if content_type else ""
    encoding = content_encoding.strip().lower()
    if encoding not in ("", "identity") and not (encoding in ("gzip", "x-gzip") and media_type.endswith("tar")):
        raise UnsupportedMedia(f"Content-Encoding is taken as gzip and with tar alone; send {_TAKEN}")
    if media_type == "multipart/form-data":
        return MultipartFiles(folder, content_type, max_files=max_files)
    if media_type in _SINGLE_TYPES:
        return SingleFile(folder, _SINGLE_TYPES[media_type])
    raise UnsupportedMedia(f"this Content-Type is not taken here; send {_TAKEN}")


def _promised_sha256(content_digest: str) -> bytes | None:
    """The sha-256 value of a Content-Digest header, `sha-256=:BASE64:`."""
    found = re.search(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]*):", content_digest)
    if found is None:
        return None
    try:
        return base64.b64decode(found.group(1), validate=True)
    except binascii.Error as error:
        raise DigestMismatch("Content-Digest is not of the form `sha-256=:BASE64:`") from error
