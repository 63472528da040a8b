from __future__ import annotations

import os
import time
from pathlib import Path

from slicebank_store.intake import StagedBytes, Staging


def fill(folder: Path, name: str, size: int, *, age_s: float = 0.0) -> None:
    path = folder / name
    path.write_bytes(bytes(size))
    then = time.time() - age_s
    os.utime(path, (then, then))
    os.utime(folder, (then, then))


def test_bytes_are_those_of_the_uploads_alone(tmp_path: Path) -> None:
    staged = StagedBytes(tmp_path / "staging", keep_s=0)
    assert staged.by_upload() == {}, "the folder is not there yet"
    staging = Staging(tmp_path / "staging")
    first, second = staging.new(), staging.new()
    fill(first.folder, "000000", 10)
    (second.folder / "unpacking").mkdir()
    fill(second.folder / "unpacking", "000000", 7)
    (tmp_path / "staging" / ".removed-x").mkdir()
    fill(tmp_path / "staging" / ".removed-x", "000000", 100)
    assert staged.by_upload() == {first.upload_id: 10, second.upload_id: 7}
    staging.settle(first.upload_id)
    staging.remove(first.upload_id)
    assert staged.total() == 7


def test_an_upload_that_still_grows_is_measured_again(tmp_path: Path) -> None:
    staging, staged = Staging(tmp_path), StagedBytes(tmp_path, keep_s=0)
    upload = staging.new()
    for size in (1, 5, 9):
        (upload.folder / "body").write_bytes(bytes(size))
        assert staged.total() == size


def test_one_that_stands_still_is_measured_when_files_of_it_go(tmp_path: Path) -> None:
    staging, staged = Staging(tmp_path), StagedBytes(tmp_path, keep_s=0)
    upload = staging.new()
    fill(upload.folder, "000000", 10, age_s=3600)
    fill(upload.folder, "000001", 10, age_s=3600)
    assert staged.total() == 20
    with (upload.folder / "000000").open("ab") as file:  # which nobody does, and nobody looks for
        file.write(b"more")
    then = time.time() - 3600
    os.utime(upload.folder, (then, upload.folder.stat().st_mtime))
    assert staged.total() == 20
    staging.discard(upload.upload_id, keep=["000001"])
    assert staged.total() == 10


def test_an_answer_is_given_again_for_a_while(tmp_path: Path) -> None:
    staging, staged = Staging(tmp_path), StagedBytes(tmp_path, keep_s=3600)
    assert staged.total() == 0
    fill(staging.new().folder, "000000", 10)
    assert staged.total() == 0
