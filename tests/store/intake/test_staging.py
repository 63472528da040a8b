from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from slicebank_store.errors import BadKey, UploadMissing
from slicebank_store.intake import Staging

NOW = 1_700_000_000.0


def age(path: Path, seconds: float) -> None:
    for one in (*path.rglob("*"), path):
        os.utime(one, (NOW - seconds, NOW - seconds))


def test_uploads_are_private_and_apart(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staging")
    first, second = staging.new(), staging.new()
    assert first.upload_id != second.upload_id
    assert staging.path(first.upload_id) == first.folder
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in (tmp_path / "staging", first.folder))


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir(mode=0o755)
    Staging(tmp_path / "staging")
    assert stat.S_IMODE((tmp_path / "staging").stat().st_mode) == 0o700


def test_removing_twice(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    upload = staging.new()
    (upload.folder / "0").write_bytes(b"x")
    staging.settle(upload.upload_id)
    assert staging.exists(upload.upload_id)
    staging.remove(upload.upload_id)
    staging.remove(upload.upload_id)
    staging.settle(upload.upload_id)
    assert not staging.exists(upload.upload_id)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UploadMissing):
        staging.path(upload.upload_id)


def test_files_that_no_job_needs_are_discarded(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    upload = staging.new()
    (upload.folder / "1").mkdir()
    for name in ("0", "1/0", "1/1"):
        (upload.folder / name).write_bytes(b"x")
    assert staging.discard(upload.upload_id, keep=["1/1"]) == 2
    assert [path.relative_to(upload.folder).as_posix() for path in upload.folder.rglob("*") if path.is_file()] == [
        "1/1"
    ]


@pytest.mark.parametrize("upload_id", ["..", "", "a" * 31, "A" * 32, "../" + "a" * 32])
def test_ids_that_are_none_are_refused(tmp_path: Path, upload_id: str) -> None:
    staging = Staging(tmp_path / "staging")
    assert not staging.exists(upload_id)
    with pytest.raises(BadKey):
        staging.path(upload_id)
    with pytest.raises(BadKey):
        staging.remove(upload_id)


def test_sweep_removes_what_is_old_and_unused(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    old, used, young, growing = (staging.new() for _ in range(4))
    for upload in (old, used, young, growing):
        (upload.folder / "0").write_bytes(b"x")
        age(upload.folder, 100 if upload is not young else 1)
    os.utime(growing.folder / "0", (NOW, NOW))
    (tmp_path / "not an upload").mkdir()
    (tmp_path / f".removed-{old.upload_id}-x").mkdir()
    assert staging.sweep(lambda: {used.upload_id}, older_than_s=50, now=NOW) == [old.upload_id]
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".arriving-")}
    assert left == {used.upload_id, young.upload_id, growing.upload_id, "not an upload"}


def test_a_job_that_ends_early_takes_no_files_from_the_jobs_still_being_made(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    upload = staging.new()
    (upload.folder / "000000").write_bytes(b"x")
    staging.remove(upload.upload_id)
    assert (upload.folder / "000000").exists()
    staging.settle(upload.upload_id)
    staging.remove(upload.upload_id)
    assert list(tmp_path.iterdir()) == []


def test_sweep_removes_what_has_settled_and_is_unused_whatever_its_age(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    spent, used, arriving = (staging.new() for _ in range(3))
    for upload in (spent, used):
        staging.settle(upload.upload_id)
    assert staging.sweep(lambda: {used.upload_id}, older_than_s=50) == [spent.upload_id]
    assert staging.exists(used.upload_id)
    assert staging.exists(arriving.upload_id)
    os.utime(arriving.folder, (NOW, NOW))
    assert staging.sweep(lambda: {used.upload_id}, older_than_s=50, now=NOW + 100) == [arriving.upload_id]
    assert [path.name for path in tmp_path.iterdir()] == [used.upload_id]


def test_an_upload_that_settles_while_a_sweep_runs_is_not_taken_for_a_leftover(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    upload, spent = staging.new(), staging.new()
    staging.settle(spent.upload_id)

    def in_use() -> set[str]:
        staging.settle(upload.upload_id)  # its jobs came into the catalogue just after it was asked
        return set()

    assert staging.sweep(in_use, older_than_s=50) == [spent.upload_id]
    assert staging.exists(upload.upload_id)


def test_a_mark_without_an_upload_goes_when_it_is_old(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    upload = staging.new()
    upload.folder.rmdir()
    (mark,) = tmp_path.iterdir()
    os.utime(mark, (NOW, NOW))
    assert staging.sweep(set, older_than_s=50, now=NOW + 10) == []
    assert mark.exists()
    assert staging.sweep(set, older_than_s=50, now=NOW + 100) == []
    assert not mark.exists()
