"""The tar made on the way: readable, of the length that was promised, and saying nothing of this machine."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank.errors import FileChanged
from slicebank.upload.discover import SourceFile
from slicebank.upload.tarstream import TarBody

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=120)


@settings(deadline=None, max_examples=60)
@given(contents=st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5))
def test_reads_back_and_keeps_its_promise(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("tar")
    files = []
    for number, (name, content) in enumerate(contents.items()):
        path = folder / str(number)
        path.write_bytes(content)
        files.append(SourceFile(path, f"folder/{name}", len(content)))
    made = b"".join(TarBody(files).read())
    assert len(made) == TarBody(files).length
    for start in {0, 1, 511, 512, 513, 700, 1024, 1536, len(made) // 2, len(made) - 1, len(made)} & set(
        range(len(made) + 1)
    ):
        assert b"".join(TarBody(files).read(start)) == made[start:]
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        members = archive.getmembers()
        assert [item.name for item in members] == [item.name for item in files]
        assert [archive.extractfile(item).read() for item in members] == list(contents.values())  # type: ignore[union-attr]
        assert {(item.uname, item.gname, item.uid, item.mtime) for item in members} <= {("", "", 0, 0)}


def test_a_file_that_shrinks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with pytest.raises(FileChanged):
        list(TarBody([SourceFile(path, "a", 5)]).read())
    with pytest.raises(FileChanged):
        list(TarBody([SourceFile(tmp_path / "gone", "gone", 5)]).read())
    with pytest.raises(FileChanged):
        list(TarBody([SourceFile(path, "a", 3, modified_ns=1)]).read())


def test_a_file_that_grows_is_cut_at_what_was_counted(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abcdef")
    files = [SourceFile(path, "a", 3)]
    assert len(b"".join(TarBody(files).read())) == TarBody(files).length
