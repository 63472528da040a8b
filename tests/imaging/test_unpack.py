import gzip
import io
import stat
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicebank_imaging.errors import ArchiveTooLarge, BadArchive, EmptyArchive, ImagingError, TooManyFiles
from slicebank_imaging.unpack import ArchiveKind, RejectedMember, UnpackedFile, UnpackLimits, unpack

LIMITS = UnpackLimits()
FILES = {"a/1.dcm": b"one" * 1000, "a/b/2.dcm": b"two", "3": b""}


def _zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _kind(path: Path) -> ArchiveKind:
    return ArchiveKind.ZIP if path.suffix == ".zip" else ArchiveKind.TAR


def _run(path: Path, limits: UnpackLimits = LIMITS, **options: int) -> tuple[dict[str, bytes], dict[str, str]]:
    """Unpacked contents by the sender's name, and codes of rejected members."""
    into = path.parent / "into"
    into.mkdir(exist_ok=True)
    found = list(unpack(path, _kind(path), into, limits, **options))
    taken = {item.name: (into / item.file).read_bytes() for item in found if isinstance(item, UnpackedFile)}
    return taken, {item.name: item.code for item in found if isinstance(item, RejectedMember)}


@pytest.fixture(params=["zip", "tar", "tar.gz"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    return tmp_path / f"x.{request.param}", request.param


def _pack(archive: tuple[Path, str], files: dict[str, bytes]) -> Path:
    path, kind = archive
    return _zip(path, files) if kind == "zip" else _tar(path, files, "w:gz" if kind == "tar.gz" else "w")


def test_every_file_comes_out_under_an_ordinal(archive: tuple[Path, str]) -> None:
    taken, rejected = _run(_pack(archive, FILES), first=7)
    assert taken == FILES
    assert rejected == {}
    assert sorted(path.name for path in (archive[0].parent / "into").iterdir()) == ["000007", "000008", "000009"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil"])
def test_unsafe_names_are_left_out_and_the_rest_is_kept(archive: tuple[Path, str], name: str) -> None:
    taken, rejected = _run(_pack(archive, {name: b"x", "good": b"y"}))
    assert taken == {"good": b"y"}
    assert set(rejected.values()) == {"unsafe_name"}
    assert not (archive[0].parent / "evil").exists()


def test_litter_of_operating_systems_is_passed_over(archive: tuple[Path, str]) -> None:
    taken, rejected = _run(_pack(archive, {"__MACOSX/._1": b"x", ".DS_Store": b"x", "a/Thumbs.db": b"x", "1": b"y"}))
    assert taken == {"1": b"y"}
    assert rejected == {}


def test_empty_archives_are_refused(archive: tuple[Path, str]) -> None:
    with pytest.raises(EmptyArchive):
        _run(_pack(archive, {}))


def test_counts_and_sizes_are_limited(archive: tuple[Path, str]) -> None:
    path = _pack(archive, FILES)
    with pytest.raises(TooManyFiles):
        _run(path, UnpackLimits(max_files=2))
    for left in (path.parent / "into").iterdir():
        left.unlink()
    with pytest.raises(ArchiveTooLarge, match="bytes"):
        _run(path, UnpackLimits(max_bytes=2000))


def test_bombs_are_stopped_by_their_ratio(tmp_path: Path) -> None:
    path = _zip(tmp_path / "bomb.zip", {"zeros": bytes(80 << 20)})
    with pytest.raises(ArchiveTooLarge, match="times its size"):
        _run(path, UnpackLimits(max_ratio=100))
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello" * 400, b"\x1f\x8b\x08rubbish"])
def test_what_is_no_archive_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with pytest.raises((BadArchive, EmptyArchive)):
        _run(path)


def test_links_and_devices_in_tars_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"good"))
    taken, rejected = _run(path)
    assert taken == {"good": b"good"}
    assert rejected == dict.fromkeys(("soft", "hard", "pipe"), "unsafe_name")


def test_links_in_zips_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("soft")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert _run(path) == ({}, {"soft": "unsafe_name"})


def test_encrypted_members_are_left_out(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"secret": b"x", "open": b"y"})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")  # the central directory's first entry
    data[entry + 8] |= 1
    path.write_bytes(data)
    assert _run(path) == ({"open": b"y"}, {"secret": "encrypted_archive"})


def test_a_damaged_member_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bad", b"A" * 1000)
        archive.writestr("good", b"B" * 1000)
    data = bytearray(path.read_bytes())
    data[data.index(b"AAAA") + 10] ^= 0xFF
    path.write_bytes(data)
    assert _run(path) == ({"good": b"B" * 1000}, {"bad": "bad_archive"})


def test_a_tar_cut_short_keeps_what_came_before(tmp_path: Path) -> None:
    whole = _tar(tmp_path / "whole.tar", {"1": b"x" * 600, "2": b"y" * 60_000}).read_bytes()
    for suffix, cut in (("tar", whole[:20_000]), ("tar.gz", gzip.compress(whole)[:-40])):
        folder = tmp_path / suffix
        folder.mkdir()
        (folder / f"x.{suffix}").write_bytes(cut)
        taken, rejected = _run(folder / f"x.{suffix}")
        assert taken.get("1") == b"x" * 600
        assert "bad_archive" in rejected.values()


def test_a_giant_tar_header_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 6 << 20
    block = header.tobuf(tarfile.USTAR_FORMAT)
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(block + bytes(6 << 20)))
    with pytest.raises(ArchiveTooLarge, match="header"):
        _run(path)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from(["zip", "tar", "tar.gz"]))
def test_damaged_archives_raise_nothing_but_imaging_errors(tmp_path: Path, data: st.DataObject, suffix: str) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    path = _pack((folder / f"x.{suffix}", suffix), FILES)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(ImagingError):
        _run(path)
