"""Whether one stored blob is what the catalogue says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slicebank_store.bags import read_bag
from slicebank_store.blobs import BlobKind, BlobStore
from slicebank_store.catalogue.upkeep import NamedBlob
from slicebank_store.errors import BadBag, BadPixels, BlobMissing, SliceNotKept
from slicebank_store.retained import RetainedReader
from slicebank_store.upkeep.finding import FindingCode

Fault = tuple[FindingCode, str]
"""A code and what is wrong, as a sentence."""


def fault_of(blobs: BlobStore, blob: NamedBlob, *, quick: bool) -> Fault | None:
    """What is wrong with a blob; None where it is sound.

    Args:
        blobs: where it should lie.
        blob: as the catalogue names it.
        quick: looks at presence and size alone; else the blob is read whole, bags and pixels are opened.

    Raises:
        BlobsUnavailable: the backend cannot give it.
    """
    try:
        size = blobs.size(blob.key)
        if blob.size_bytes is not None and size != blob.size_bytes:
            return FindingCode.BLOB_SIZE, f"It has {size} bytes; {blob.size_bytes} were stored."
        if quick:
            return None
        with blobs.open_local(blob.key) as path:
            return _content_fault(path, blob)
    except BlobMissing:
        return FindingCode.BLOB_MISSING, "It is not there."


def _content_fault(path: Path, blob: NamedBlob) -> Fault | None:
    if blob.sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != blob.sha256:
            return FindingCode.BLOB_CHECKSUM, f"Its SHA-256 begins with {found[:12]}; {blob.sha256[:12]} was stored."
    try:
        if blob.kind is BlobKind.BAG:
            read_bag(path)
        elif blob.kind is BlobKind.PIXELS:
            _read_pixels(path, blob.shape)
    except (BadBag, BadPixels) as error:
        return FindingCode.BLOB_UNREADABLE, error.detail
    return None


def _read_pixels(path: Path, shape: tuple[int, int, int] | None) -> None:
    """Reads every slice, because no checksum of kept pixels is recorded.

    Raises:
        BadPixels: they cannot be read, or belong to another stack.
    """
    with RetainedReader(path) as reader:
        if reader.shape != shape:
            msg = f"They have shape {reader.shape}; the stack has {shape}."
            raise BadPixels(msg)
        for index in range(reader.shape[0]):
            try:
                reader.slice(index)
            except SliceNotKept:  # was not decodable when it was kept, and is known to be missing
                continue
            except OSError as error:
                msg = f"Slice {index} cannot be read."
                raise BadPixels(msg) from error
