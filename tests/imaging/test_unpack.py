import io
import random
import stat
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicebank_imaging.errors import BadArchive, EmptyArchive, ImagingError
from slicebank_imaging.unpack import ArchiveKind, UnpackedFile, UnpackLimits, recognise, unpack
from tests.imaging.packing import COMPRESSORS, KINDS, pack, tarred, unpacked, zipped

FILES = {"a/1.dcm": b"one" * 1000, "a/b/2.dcm": b"two", "3": b""}
LONG_RUN = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=60).map(
    lambda name: "x" + "".join("_" if sign in "\\:/" else sign for sign in name)
)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join).map(lambda name: name[:200]),
    st.binary(max_size=3000).map(lambda data: b"\0" + data),
    min_size=1,
    max_size=6,
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_file_comes_out_under_an_ordinal(tmp_path: Path, kind: str) -> None:
    assert unpacked(tmp_path, pack(kind, FILES), first=7) == (FILES, {})
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == ["000007", "000008", "000009"]


@LONG_RUN
@given(kind=st.sampled_from(KINDS), files=trees)
def test_any_tree_of_files_survives_byte_for_byte(tmp_path: Path, kind: str, files: dict[str, bytes]) -> None:
    assert unpacked(tmp_path, pack(kind, files)) == (files, {})


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_tar(tmp_path: Path, form: int) -> None:
    files = {"d" * 60 + "/" + "e" * 90: b"x" * 513, "short": b"y" * 512}
    if form != tarfile.USTAR_FORMAT:
        files["f" * 250] = b"z"
    assert unpacked(tmp_path, tarred(files, form)) == (files, {})


def test_a_tar_from_before_posix_is_known_by_its_checksum(tmp_path: Path) -> None:
    block = bytearray(tarred({"old": b"x"}, tarfile.USTAR_FORMAT))
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    assert unpacked(tmp_path, bytes(block)) == ({"old": b"x"}, {})


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_one_compressed_file_keeps_the_name_it_was_sent_with(tmp_path: Path, suffix: str) -> None:
    content = b"single" * 100_000
    assert unpacked(tmp_path, COMPRESSORS[suffix](content), name=f"x.dcm.{suffix}") == (
        {f"x.dcm.{suffix}": content},
        {},
    )


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed_in_several_parts_with_rubbish_behind(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESSORS[suffix]
    parts = compress(b"one" * 5000) + compress(b"") + compress(b"two" * 50_000)
    for behind in (b"", bytes(512), b"rubbish"):
        assert unpacked(tmp_path, parts + behind, name="x") == ({"x": b"one" * 5000 + b"two" * 50_000}, {})


def test_zips_that_were_streamed_or_use_wide_numbers(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

    sink = Pipe()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(data)
    assert unpacked(tmp_path, sink.getvalue()) == (FILES, {})


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rarer_compressions_of_zips(tmp_path: Path, compression: int) -> None:
    taken, rejected = unpacked(tmp_path, zipped(FILES, compression))
    if compression == zipfile.ZIP_BZIP2:
        assert (taken, rejected) == (FILES, {})
    else:
        assert (taken, rejected) == ({}, dict.fromkeys(FILES, "bad_archive"))


@pytest.mark.parametrize("program", [b"MZ" + bytes(9000), b"#!/bin/sh\nexit\n", b"\x7fELF" + bytes(100)])
def test_zips_that_unpack_themselves(tmp_path: Path, program: bytes) -> None:
    assert unpacked(tmp_path, program + zipped(FILES)) == (FILES, {})


def test_a_preamble_may_look_like_anything(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for head in (b"PK\x03\x04", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"MZ", tarred(FILES)[:128]):
        path.write_bytes(head.ljust(128, b"\0") + b"DICM" + zipped(FILES))
        assert recognise(path) is None
    path.write_bytes((b"\x5c\1\0\0" + bytes(340) + b"n+1\0").ljust(600, b"\0"))
    assert recognise(path) is None


@pytest.mark.parametrize("content", [b"", b"P", b"MZ", bytes(4096), b"#!/bin/sh\n", b"hello" * 400])
def test_other_files_are_no_archives(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert recognise(path) is None


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil", "\\\\host\\evil"])
def test_unsafe_names_are_left_out_and_the_rest_is_kept(tmp_path: Path, kind: str, name: str) -> None:
    taken, rejected = unpacked(tmp_path, pack(kind, {name: b"x", "good": b"y"}))
    assert taken == {"good": b"y"}
    assert set(rejected.values()) == {"unsafe_name"}
    assert not (tmp_path / "evil").exists()


def test_litter_of_operating_systems_is_passed_over(tmp_path: Path, kind: str) -> None:
    files = {"__MACOSX/._1": b"x", ".DS_Store": b"x", "a/Thumbs.db": b"x", "1": b"y"}
    assert unpacked(tmp_path, pack(kind, files)) == ({"1": b"y"}, {})


def test_empty_archives_are_refused(tmp_path: Path, kind: str) -> None:
    for files in ({}, {".DS_Store": b"x"}):
        with pytest.raises(EmptyArchive):
            unpacked(tmp_path, pack(kind, files), kind=ArchiveKind.ZIP if kind.endswith("zip") else ArchiveKind.TAR)


@pytest.mark.parametrize("said", [ArchiveKind.ZIP, ArchiveKind.TAR, ArchiveKind.GZIP])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello" * 400, b"\x1f\x8b\x08rubbish", bytes(600)])
def test_what_is_no_archive_is_refused(tmp_path: Path, said: ArchiveKind, content: bytes) -> None:
    with pytest.raises((BadArchive, EmptyArchive)):
        unpacked(tmp_path, content, kind=said)


def test_a_damaged_member_is_left_out(tmp_path: Path) -> None:
    data = bytearray(pack("stored.zip", {"bad": b"A" * 1000, "good": b"B" * 1000}))
    data[data.index(b"AAAA") + 10] ^= 0xFF
    assert unpacked(tmp_path, bytes(data)) == ({"good": b"B" * 1000}, {"bad": "bad_archive"})


@LONG_RUN
@given(files=trees, data=st.data(), kind=st.sampled_from(["zip", "stored.zip"]))
def test_damage_inside_one_member_never_harms_another(
    tmp_path: Path, files: dict[str, bytes], data: st.DataObject, kind: str
) -> None:
    content = bytearray(pack(kind, files))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        victim = data.draw(st.sampled_from(archive.infolist()))
    name_bytes = victim.filename.encode("utf-8" if victim.flag_bits & 0x800 else "cp437")
    start = victim.header_offset + 30 + len(name_bytes)
    content[start + data.draw(st.integers(0, victim.compress_size - 1))] ^= data.draw(st.integers(1, 255))
    taken, rejected = unpacked(tmp_path, bytes(content))
    others = {name: body for name, body in files.items() if name != victim.filename}
    assert {name: taken.get(name) for name in others} == others
    # A flipped bit in the unused end of a deflated stream changes nothing.
    assert rejected == {victim.filename: "bad_archive"} or taken == files


@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
def test_a_tar_cut_short_keeps_what_came_before(tmp_path: Path, suffix: str) -> None:
    files = {"1": b"x" * 600, "2": random.Random(1).randbytes(2 << 20)}  # bzip2 packs blocks of 900 KB
    whole = COMPRESSORS[suffix](tarred(files)) if suffix else tarred(files)
    taken, rejected = unpacked(tmp_path, whole[: len(whole) - 20_000])
    assert taken == {"1": files["1"]}
    assert rejected["2"] == "bad_archive"


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, sort in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = sort, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"good"))
    taken, rejected = unpacked(tmp_path, sink.getvalue())
    assert taken == {"good": b"good"}
    assert rejected == dict.fromkeys(("soft", "hard", "pipe"), "unsafe_name")
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, mode in (("soft", stat.S_IFLNK), ("device", stat.S_IFBLK)):
            link = zipfile.ZipInfo(name)
            link.external_attr = (mode | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
    assert unpacked(tmp_path, sink.getvalue()) == ({}, {"soft": "unsafe_name", "device": "unsafe_name"})


def test_an_unpacking_that_is_given_up_leaves_files_and_closes_the_archive(tmp_path: Path) -> None:
    inner = zipped({"1": b"x", "2": b"y"})
    (tmp_path / "archive").write_bytes(zipped({"inner.zip": inner, "3": b"z"}))
    into = tmp_path / "into"
    into.mkdir()
    members = unpack(tmp_path / "archive", ArchiveKind.ZIP, into, UnpackLimits())
    assert next(members) == UnpackedFile("000001", "inner.zip/1")
    members.close()
    assert [path.read_bytes() for path in into.iterdir()] == [b"x"]


@LONG_RUN
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_damaged_archives_raise_nothing_but_imaging_errors(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    content = bytearray(pack(kind, FILES))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kind_said = ArchiveKind.ZIP if kind.endswith("zip") else ArchiveKind.TAR
    with suppress(ImagingError):
        unpacked(tmp_path, bytes(content[: data.draw(st.integers(0, len(content)))]), kind=kind_said)
