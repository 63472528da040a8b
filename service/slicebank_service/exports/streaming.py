"""An export as the bytes of a tar archive, one file after the other; of the cohort one bag is on disk and one block in memory."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import structlog

from slicebank_service.exports.contents import Extras, write_content
from slicebank_service.exports.layouts import ExportedBag, files_of
from slicebank_service.exports.selecting import Selection
from slicebank_service.exports.tables import tables_of
from slicebank_store.blobs import BlobStore
from slicebank_store.errors import BadBag, BlobMissing
from slicebank_store.types import JSON

log = structlog.get_logger()

SUMS = "SHA256SUMS"
"""The last member, as sha256sum writes it: an archive without it was cut."""

ROOT_BAG = "slicebank.bag"
"""Header of the members of a bag (PAX): the bag's id, so that a client can say later which it has."""

_BLOCK_BYTES = 1 << 20
_RECORD = tarfile.BLOCKSIZE

Attention = Callable[[str], Mapping[int, float] | None]
"""Weight by row of what a head said about a bag, by the bag's id."""


def stream(
    blobs: BlobStore,
    selection: Selection,
    *,
    skip: frozenset[str],
    extras: Extras,
    attention: Attention,
) -> Iterator[bytes]:
    """The archive: files of bags, then the tables, then the checksums of both.

    A bag that is deleted while the export runs is left out of files and tables, and the manifest says so.

    Args:
        blobs: where the bags are.
        selection: which.
        skip: ids of bags whose files are not sent.
        extras: what goes along with the rows.
        attention: for Parquet.
    """
    sums: list[str] = []
    sent: list[ExportedBag] = []
    left_out: list[JSON] = list(selection.left_out)
    with tempfile.TemporaryDirectory(prefix="slicebank-export-") as folder:
        for bag in selection.bags:
            if bag.bag_id in skip:
                sent.append(bag)
                continue
            try:
                made = _make(blobs, selection, bag, Path(folder), extras, attention)
            except (BlobMissing, BadBag) as error:
                log.warning("bag_not_exported", bag_id=bag.bag_id, code=error.code)
                left_out.append({"bag_id": bag.bag_id, "series_uid": bag.series_uid, "why": error.code})
                continue
            for name, path in made:
                yield from _member(name, path, bag, sums)
            sent.append(bag)
    for name, content in tables_of(selection, sent, left_out):
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        yield _whole(name, content)
    yield _whole(SUMS, "".join(sums).encode())
    yield bytes(2 * _RECORD)


def _make(
    blobs: BlobStore,
    selection: Selection,
    bag: ExportedBag,
    folder: Path,
    extras: Extras,
    attention: Attention,
) -> list[tuple[str, Path]]:
    """Writes all files of a bag, so that a bag is sent with all of them or not at all."""
    made = []
    with blobs.open_local(bag.blob_key) as source:
        for name, content in files_of(selection.layout, bag):
            path = folder / Path(name).name
            weights = attention(bag.bag_id) if extras.attention else None
            write_content(bag, content, source, path, extras=extras, attention=weights)
            made.append((name, path))
    return made


def _member(name: str, path: Path, bag: ExportedBag, sums: list[str]) -> Iterator[bytes]:
    size = path.stat().st_size
    yield _header(name, size, bag.created_at, {ROOT_BAG: bag.bag_id})
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            yield block
    if size % _RECORD:
        yield bytes(_RECORD - size % _RECORD)
    path.unlink()
    sums.append(f"{digest.hexdigest()}  {name}\n")


def _whole(name: str, content: bytes) -> bytes:
    target = io.BytesIO(_header(name, len(content), time.time(), {}))
    target.seek(0, io.SEEK_END)
    target.write(content)
    target.write(bytes(-len(content) % _RECORD))
    return target.getvalue()


def _header(name: str, size: int, changed_at: float, more: Mapping[str, str]) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mtime = int(changed_at)
    info.mode = 0o644
    info.pax_headers = dict(more)
    return info.tobuf(format=tarfile.PAX_FORMAT)
