"""Zips and tars such as no packer writes: numbers that lie, members that overlap, names that trick, headers that swell."""

import bz2
import gzip
import lzma
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from backports import zstd

from slicebank_imaging.errors import ArchiveTooLarge, BadArchive, TooManyFiles
from slicebank_imaging.unpack import UnpackLimits
from tests.imaging.packing import RawMember, deflated, pack, padded, raw_zip, tar_block, tarred, unpacked, zipped

MEGABYTE = 1 << 20
GOOD = RawMember(b"good", b"fine")


def test_the_hand_written_zip_is_one(tmp_path: Path) -> None:
    for content in (raw_zip([GOOD, deflated(b"b", b"B" * 999)]), raw_zip([GOOD], zip64=True, comment=b"hello")):
        assert unpacked(tmp_path, content)[0]["good"] == b"fine"


@pytest.mark.parametrize(
    "bad",
    [
        replace(deflated(b"bad", b"B" * 999), size=9),
        replace(deflated(b"bad", b"B" * 999), size=1 << 40),
        replace(deflated(b"bad", b"B" * 999), checksum=1),
        RawMember(b"bad", b"stored", size=5),
        RawMember(b"bad", b"stored", checksum=1),
        RawMember(b"bad", b"no deflate stream", method=8),
        RawMember(b"bad", b"no bzip2 stream", method=12),
        RawMember(b"bad", b"no zstd stream", method=93),
        RawMember(b"bad", b"no xz stream", method=95),
        RawMember(b"bad", b"unheard of", method=77),
        RawMember(b"bad", b"", offset=1 << 70 - 8),
        RawMember(b"bad", b"", offset=1 << 40),
        RawMember(b"bad", b"", packed_size=1 << 62, size=1 << 62),
    ],
    ids=lambda member: f"{member.method}-{member.packed[:9]!r}-{member.size}-{member.checksum}-{member.offset}",
)
def test_members_whose_numbers_lie(tmp_path: Path, bad: RawMember) -> None:
    members = [bad, GOOD] if bad.packed_size is None else [GOOD, bad]
    assert unpacked(tmp_path, raw_zip(members)) == ({"good": b"fine"}, {"bad": "bad_archive"})


def test_extra_fields_may_be_anything(tmp_path: Path) -> None:
    extras = [struct.pack("<2H", 1, 0xFFFF), struct.pack("<2HB", 1, 1, 7), b"\1", b"\xff" * 65_535]
    members = [RawMember(b"%d" % at, b"x", extra=extra) for at, extra in enumerate(extras)]
    members += [RawMember(b"local", b"x", local_extra=b"\1" * 65_535)]
    assert len(unpacked(tmp_path, raw_zip(members))[0]) == 5
    short = replace(GOOD, name=b"short", size=0xFFFFFFFF, packed_size=0xFFFFFFFF)
    taken, rejected = unpacked(tmp_path, raw_zip([GOOD, short]))
    assert (taken, rejected) == ({"good": b"fine"}, {"short": "bad_archive"})


def test_overlapping_members_are_a_bomb(tmp_path: Path) -> None:
    kernel = deflated(b"1", bytes(MEGABYTE))
    whole = raw_zip([kernel, *(replace(kernel, name=b"%d" % at, offset=0) for at in range(2, 9))])
    with pytest.raises(BadArchive, match="overlap"):
        unpacked(tmp_path, whole)
    # Quoted headers: the first member's bytes are the second member with its header.
    inner = raw_zip([deflated(b"2", bytes(999))])
    inner = inner[: inner.index(b"PK\x01\x02")]
    quoting = RawMember(b"1", inner)
    with pytest.raises(BadArchive, match="overlap"):
        unpacked(tmp_path, raw_zip([quoting, replace(deflated(b"2", bytes(999)), offset=31)]))
    assert not list((tmp_path / "into").iterdir())


def test_directories_that_claim_or_hold_too_much(tmp_path: Path) -> None:
    few = UnpackLimits(max_members=100, max_files=50, max_directory_bytes=10_000)
    for content, error, sentence in (
        (raw_zip([GOOD], entries=50_000_000, zip64=True), TooManyFiles, "entries"),
        (raw_zip([RawMember(b"%d/" % at) for at in range(101)], entries=1), TooManyFiles, "entries"),
        (raw_zip([RawMember(b"%d" % at) for at in range(51)], entries=1), TooManyFiles, "files"),
        (raw_zip([RawMember(b"%d" % at, extra=bytes(6000)) for at in range(2)]), ArchiveTooLarge, "directory"),
    ):
        with pytest.raises(error, match=sentence):
            unpacked(tmp_path, content, few)
        assert not list((tmp_path / "into").iterdir())


@pytest.mark.parametrize("changes", [{"directory_bytes": 1 << 30}, {"disk": 1}, {"directory_bytes": 0xFFFFFFFF}])
def test_ends_that_lie(tmp_path: Path, changes: dict[str, int]) -> None:
    with pytest.raises(BadArchive):
        unpacked(tmp_path, raw_zip([GOOD], **changes))  # type: ignore[arg-type]


def test_a_damaged_directory_keeps_the_members_before(tmp_path: Path) -> None:
    content = bytearray(raw_zip([GOOD, RawMember(b"lost", b"x"), RawMember(b"lost too", b"x")]))
    content[content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02"))] = 0
    assert unpacked(tmp_path, bytes(content)) == ({"good": b"fine"}, {"(rest of the archive)": "bad_archive"})


def test_zips_cut_anywhere(tmp_path: Path) -> None:
    whole = raw_zip([GOOD, deflated(b"b", b"B" * 99)], zip64=True)
    for length in range(4, len(whole)):
        with pytest.raises(BadArchive):
            unpacked(tmp_path, whole[:length])


def test_encrypted_members_are_left_out(tmp_path: Path) -> None:
    members = [
        RawMember(b"secret", b"x", flags=1),
        RawMember(b"strong", b"x", flags=0x41),
        RawMember(b"only the local header says so", b"x", local_flags=1),
    ]
    taken, rejected = unpacked(tmp_path, raw_zip([*members, GOOD]))
    assert taken == {"good": b"fine"}
    assert rejected == {member.name.decode(): "encrypted_archive" for member in members}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("n" * 10_000 + ".dcm", "…" + "n" * 250 + ".dcm"),
        ("a\u202egpj.exe", "a\ufffdgpj.exe"),
        ("red\x1b[31m", "red\ufffd[31m"),
        ("line\nbreak\u2028", "line\ufffdbreak\ufffd"),
        ("e\u0301", "e\u0301"),
        ("\u2024\u2024/x", "\u2024\u2024/x"),  # one-dot leaders, which look like "../"
        ("\uff0e\uff0e/x", "\uff0e\uff0e/x"),  # full stops of full width
        ("CON", "CON"),
    ],
)
def test_names_are_shown_and_never_used(tmp_path: Path, name: str, shown: str) -> None:
    for kind in ("zip", "tar", "tar.zst"):
        assert unpacked(tmp_path, pack(kind, {name: b"x"})) == ({shown: b"x"}, {})


def test_names_that_no_encoding_reads(tmp_path: Path) -> None:
    for content in (
        raw_zip([RawMember(b"\xff\xfe.dcm", b"x", flags=0x800)]),
        padded(tar_block("??.dcm", 1).replace(b"??", b"\xff\xfe")) + padded(b"x"),
        raw_zip([RawMember(b"nul\0.dcm", b"x")]),
        raw_zip([RawMember(b"", b"x")]),
    ):
        fixed = bytearray(content)
        if content[257:262] == b"ustar":
            fixed[148:156] = b" " * 8
            fixed[148:156] = b"%06o\0 " % sum(fixed[:512])
        taken, rejected = unpacked(tmp_path, bytes(fixed))
        for name in (*taken, *rejected):
            name.encode()
        assert taken == {"\ufffd\ufffd.dcm": b"x"} or rejected.popitem()[1] == "unsafe_name"


def _pax(records: bytes, size: int | None = None) -> bytes:
    return tar_block("pax", len(records) if size is None else size, tarfile.XHDTYPE) + padded(records)


@pytest.mark.parametrize(
    "head",
    [
        _pax(b"", size=1 << 33),
        _pax(bytes(6 * MEGABYTE)),
        tar_block("long", 1 << 33, tarfile.GNUTYPE_LONGNAME),
        _pax(b"9 a=bcde\n") * 1500,
        tar_block("global", 1 << 33, tarfile.XGLTYPE),
    ],
    ids=["claims", "holds", "name", "chain", "global"],
)
def test_tar_headers_that_swell(tmp_path: Path, head: bytes) -> None:
    for content in (tarred({"good": b"fine"})[:1024] + head, gzip.compress(tarred({"good": b"fine"})[:1024] + head)):
        taken, rejected = unpacked(tmp_path, content)
        assert taken == {"good": b"fine"}
        assert rejected == {"(rest of the archive)": "archive_too_large"}


@pytest.mark.parametrize(
    "records",
    [
        b"0 a=b\n",
        b"5",
        b"999 path=x\n",
        b"1" * 900_000,
        b" " * 900_000,
        b"12 size=-99\n",
        b"99999999999999999999 a=b\n",
        b"11 size=1e9\n",
        b"1000024 size=" + b"9" * 1_000_010 + b"\n",
        b"\xb2 a=b\n",
    ],
    ids=lambda records: repr(records[:20]),
)
def test_pax_headers_that_lie(tmp_path: Path, records: bytes) -> None:
    content = tarred({"good": b"fine"})[:1024] + _pax(records) + tarred({"lost": b"x"})
    taken, rejected = unpacked(tmp_path, content)
    assert taken == {"good": b"fine"}
    assert rejected == {"(rest of the archive)": "bad_archive"}


def test_swollen_pax_headers_cost_no_more_than_their_bytes(tmp_path: Path) -> None:
    """A search for a keyword in long runs of digits, as tarfile makes it, would take minutes for each of these."""
    swollen = _pax(b"10 path=x\n" + b"\0" + b"1" * 900_000) + tar_block("y")
    taken, rejected = unpacked(tmp_path, swollen + tarred({"good": b"fine"}))
    assert (taken, rejected) == ({"x": b"", "good": b"fine"}, {})


def test_sizes_below_zero(tmp_path: Path) -> None:
    block = bytearray(tar_block("bad"))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    taken, rejected = unpacked(tmp_path, tarred({"good": b"fine"})[:1024] + bytes(block))
    assert (taken, rejected) == ({"good": b"fine"}, {"(rest of the archive)": "bad_archive"})


def test_sparse_files_are_left_out_and_the_next_is_found(tmp_path: Path) -> None:
    old = bytearray(tar_block("old", 512, tarfile.GNUTYPE_SPARSE))
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    maps = bytearray(1024)
    maps[504] = 1
    content = bytes(old) + bytes(maps) + b"d" * 512
    content += _pax(b"22 GNU.sparse.major=1\n") + tar_block("new", 512) + b"d" * 512 + tarred({"good": b"fine"})
    taken, rejected = unpacked(tmp_path, content)
    assert (taken, rejected) == ({"good": b"fine"}, {"old": "unsafe_name", "new": "unsafe_name"})


def test_a_size_in_a_pax_header_counts(tmp_path: Path) -> None:
    content = _pax(b"10 size=3\n") + tar_block("wide", 0) + padded(b"abc") + tarred({"good": b"fine"})
    assert unpacked(tmp_path, content) == ({"wide": b"abc", "good": b"fine"}, {})


def test_bombs_are_stopped_by_their_ratio(tmp_path: Path) -> None:
    zeros = bytes(80 * MEGABYTE)
    for content in (
        zipped({"zeros": zeros}),
        gzip.compress(zeros),
        bz2.compress(zeros),
        zstd.compress(zeros),
        lzma.compress(zeros, preset=0),
        gzip.compress(tarred({"skipped/../x": zeros})),
    ):
        with pytest.raises(ArchiveTooLarge, match="times its size"):
            unpacked(tmp_path, content, UnpackLimits(max_ratio=100))
        assert not list((tmp_path / "into").iterdir())


def test_windows_beyond_the_memory_are_refused(tmp_path: Path) -> None:
    data = bytes(range(256)) * 16
    wide = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    frames = [
        wide.compress(data) + wide.flush(),
        lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}]),
    ]
    for content in frames:
        with pytest.raises(ArchiveTooLarge, match="memory"):
            unpacked(tmp_path, content)
        taken, rejected = unpacked(tmp_path, pack("zip", {"wide": content, "good": b"fine"}))
        assert (taken, rejected) == ({"good": b"fine"}, {"wide": "archive_too_large"})
    assert unpacked(tmp_path, frames[0], UnpackLimits(max_window_bytes=1 << 27)) == ({"upload": data}, {})


def test_endless_empty_parts(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="empty parts"):
        unpacked(tmp_path, gzip.compress(b"") * 5000)
