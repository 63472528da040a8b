"""Archives of every kind made in memory, honest ones and such as no packer writes, and what unpacking makes of them."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

from slicebank_imaging.unpack import ArchiveKind, RejectedMember, UnpackedFile, UnpackLimits, recognise, unpack

LIMITS = UnpackLimits()
COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
}
KINDS = ("zip", "stored.zip", "tar", *(f"tar.{suffix}" for suffix in COMPRESSORS))


def pack(kind: str, files: Mapping[str, bytes]) -> bytes:
    """An archive as people make them, of one of KINDS."""
    if kind.endswith("zip"):
        return zipped(files, zipfile.ZIP_STORED if kind == "stored.zip" else zipfile.ZIP_DEFLATED)
    whole = tarred(files)
    return whole if kind == "tar" else COMPRESSORS[kind.removeprefix("tar.")](whole)


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def tarred(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def tar_block(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    """One header, whatever it says."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class RawMember:
    """One member of a zip, field by field; sizes and checksum are those of `packed`, taken as stored, unless given."""

    name: bytes
    packed: bytes = b""
    method: int = 0
    size: int | None = None
    packed_size: int | None = None
    checksum: int | None = None
    flags: int = 0
    extra: bytes = b""
    local_extra: bytes = b""
    local_flags: int | None = None
    offset: int | None = None
    mode: int = 0


def deflated(name: bytes, data: bytes) -> RawMember:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return RawMember(name, packer.compress(data) + packer.flush(), method=8, size=len(data), checksum=zlib.crc32(data))


def raw_zip(
    members: Sequence[RawMember],
    *,
    entries: int | None = None,
    directory_bytes: int | None = None,
    zip64: bool = False,
    comment: bytes = b"",
    prefix: bytes = b"",
    disk: int = 0,
) -> bytes:
    """A zip written by hand, so that any of its numbers may lie."""
    body, directory = bytearray(), bytearray()
    for member in members:
        offset = len(body) if member.offset is None else member.offset
        size = len(member.packed) if member.size is None else member.size
        packed = len(member.packed) if member.packed_size is None else member.packed_size
        checksum = zlib.crc32(member.packed) if member.checksum is None else member.checksum
        local_flags = member.flags if member.local_flags is None else member.local_flags
        numbers = (20, local_flags, member.method, 0, 0, checksum, 0, 0, len(member.name), len(member.local_extra))
        body += struct.pack("<4s5H3L2H", b"PK\x03\x04", *numbers) + member.name + member.local_extra + member.packed
        extra = member.extra
        if max(size, packed, offset) >= 0xFFFFFFFF:
            extra = struct.pack("<2H3Q", 1, 24, size, packed, offset) + extra
            size = packed = offset = 0xFFFFFFFF
        numbers = (20, 20, member.flags, member.method, 0, 0, checksum, packed, size, len(member.name), len(extra))
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *numbers, 0, 0, 0, member.mode << 16, offset)
        directory += member.name + extra
    count = len(members) if entries is None else entries
    length = len(directory) if directory_bytes is None else directory_bytes
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", disk, 0, *(count % 0x10000,) * 2, length, len(body), len(comment))
    if zip64:
        wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, len(body))
        wide += struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body) + len(directory), 1)
        end = wide + struct.pack("<4s4H2LH", b"PK\x05\x06", *(0xFFFF,) * 4, *(0xFFFFFFFF,) * 2, len(comment))
    return prefix + bytes(body + directory) + end + comment


def unpacked(
    folder: Path,
    content: bytes,
    limits: UnpackLimits = LIMITS,
    *,
    kind: ArchiveKind | None = None,
    name: str = "upload",
    first: int = 0,
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Contents by the sender's name, and codes of rejected members; nothing else may be left on the disk."""
    folder.mkdir(exist_ok=True)
    path, into = folder / "archive", folder / "into"
    path.write_bytes(content)
    into.mkdir(exist_ok=True)
    for left in into.iterdir():
        left.unlink()
    kind = recognise(path) if kind is None else kind
    assert kind is not None
    found = list(unpack(path, kind, into, limits, first=first, name=name))
    files = {item.file: item.name for item in found if isinstance(item, UnpackedFile)}
    assert sorted(place.name for place in into.iterdir()) == sorted(files)
    taken = {name: (into / file).read_bytes() for file, name in files.items()}
    assert len(taken) == len(files)
    return taken, {item.name: item.code for item in found if isinstance(item, RejectedMember)}
