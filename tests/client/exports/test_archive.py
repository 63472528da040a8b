from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest

from slicebank.errors import UnexpectedAnswer
from slicebank.exports import members


def archive(*infos: tarfile.TarInfo, content: bytes = b"") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        for info in infos:
            made.addfile(info, io.BytesIO(content[: info.size]))
    return target.getvalue()


def info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
    return made


def pieces(whole: bytes, size: int) -> Iterator[bytes]:
    return (whole[at : at + size] for at in range(0, len(whole), size))


@pytest.mark.parametrize("size", [1, 511, 512, 4096, 1 << 22])
def test_files_come_one_after_the_other_whatever_the_pieces(size: int) -> None:
    content = bytes(range(256)) * 40
    whole = archive(info("a/b.h5", 10_000), info("c.csv", 3), info("empty", 0), content=content)
    found = [(member.name, b"".join(member.blocks())) for member in members(pieces(whole, size))]
    assert found == [("a/b.h5", content[:10_000]), ("c.csv", content[:3]), ("empty", b"")]


@pytest.mark.parametrize(
    "made",
    [
        info("../up"),
        info("/etc/cron.d/x"),
        info("a/../../up"),
        info("a//b"),
        info(".hidden"),
        info("a\\b"),
        info("link", kind=tarfile.SYMTYPE),
        info("link", kind=tarfile.LNKTYPE),
        info("folder", kind=tarfile.DIRTYPE),
        info("pipe", kind=tarfile.FIFOTYPE),
    ],
)
def test_what_no_export_holds_is_refused(made: tarfile.TarInfo) -> None:
    with pytest.raises(UnexpectedAnswer):
        list(members(iter([archive(made)])))


@pytest.mark.parametrize("kept", [100, 512, 700, 5_000])
def test_a_cut_archive_is_an_error_and_not_a_short_file(kept: int) -> None:
    whole = archive(info("a.h5", 10_000), content=bytes(10_000))
    with pytest.raises(UnexpectedAnswer):
        _ = [list(member.blocks()) for member in members(iter([whole[:kept]]))]


def test_what_is_no_archive_is_said() -> None:
    with pytest.raises(UnexpectedAnswer, match="tar"):
        list(members(iter([b"<html>" * 200])))
