from __future__ import annotations

import os
from pathlib import Path

import pytest

from slicebank_store.blobs import DirectoryBlobs, bag_key
from slicebank_store.catalogue import Catalogue
from slicebank_store.doomed import remove_doomed
from slicebank_store.errors import BlobsUnavailable
from slicebank_store.intake import Staging
from slicebank_store.intake.weighing import StagedBytes
from slicebank_store.upkeep import Collected, collect

from ..builders import PROJECT, claim, series_of, submit
from .stocking import embed


def gc(catalogue: Catalogue, blobs: DirectoryBlobs, root: Path, **options: bool) -> Collected:
    return collect(
        catalogue, blobs, Staging(root), StagedBytes(root), failed_within_s=86_400, idle_upload_s=3600, **options
    )


def aged(path: Path, seconds: float) -> Path:
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))
    return path


def test_leftovers_go_and_what_is_needed_stays(catalogue: Catalogue, blobs: DirectoryBlobs, tmp_path: Path) -> None:
    bag, lease = embed(catalogue, blobs, "1.1", retain=True)
    kept = set(blobs.keys())
    orphan = bag_key(PROJECT, "dummy", bag.bag_id, lease.job.job_id, 0)
    foreign = bag_key(PROJECT, "dummy", "a" * 32, "b" * 32, 1)
    for key in (orphan, foreign):
        blobs.put_bytes(key, b"12345")
    folder = (blobs.root / bag.blob_key).parent
    dead, alive = folder / ".partial-dead", folder / ".partial-alive"
    dead.write_bytes(b"123")
    alive.write_bytes(b"123")
    aged(dead, 4000)

    staging = Staging(tmp_path / "staging")
    needed, forgotten, arriving = (staging.new() for _ in range(3))
    for upload in (needed, forgotten, arriving):
        (upload.folder / "0").write_bytes(b"1234567")
        if upload is not arriving:
            aged(upload.folder / "0", 4000)
            aged(upload.folder, 4000)
    claim(catalogue, submit(catalogue, series_of(series_uid="1.2"), staging=needed.upload_id).job_id)

    for dry_run in (True, False):
        done = gc(catalogue, blobs, tmp_path / "staging", dry_run=dry_run)
        assert done.count == {"orphan": 1, "unfinished": 1, "upload": 1}
        assert done.size == {"orphan": 5, "unfinished": 3, "upload": 7}
        assert done.foreign_left == 1
    assert set(blobs.keys()) == kept | {foreign}
    assert alive.exists()
    assert not dead.exists()
    assert staging.exists(needed.upload_id)
    assert staging.exists(arriving.upload_id)
    assert not staging.exists(forgotten.upload_id)
    assert gc(catalogue, blobs, tmp_path / "staging").count == {}
    assert gc(catalogue, blobs, tmp_path / "staging", foreign=True).count == {"foreign": 1}
    assert set(blobs.keys()) == kept


def test_what_a_deletion_left_goes_with_its_note(catalogue: Catalogue, blobs: DirectoryBlobs, tmp_path: Path) -> None:
    embed(catalogue, blobs, "1.1")
    catalogue.deletions.delete_series(PROJECT, "1.1")
    assert gc(catalogue, blobs, tmp_path / "staging", dry_run=True).count == {"orphan": 1}
    assert len(catalogue.doomed.page()) == len(list(blobs.keys())) == 1
    assert gc(catalogue, blobs, tmp_path / "staging").count == {"orphan": 1}
    assert catalogue.doomed.page() == ()
    assert list(blobs.keys()) == []


class Stubborn(DirectoryBlobs):
    """Cannot remove some blobs."""

    def __init__(self, root: Path, keys: set[str]) -> None:
        super().__init__(root)
        self.stubborn = keys
        self.asked = 0

    def delete(self, key: str) -> bool:
        self.asked += 1
        if key in self.stubborn:
            raise BlobsUnavailable("the blob store does not answer; try again")
        return super().delete(key)


def test_one_blob_that_cannot_go_holds_up_no_other(catalogue: Catalogue, blobs: DirectoryBlobs, tmp_path: Path) -> None:
    bags = [embed(catalogue, blobs, f"1.{number}")[0] for number in range(5)]
    for bag in bags:
        catalogue.deletions.delete_bag(PROJECT, bag.bag_id)
    keys = [key for _, key in catalogue.doomed.page()]
    away = Stubborn(blobs.root, set(keys))
    with pytest.raises(BlobsUnavailable):
        remove_doomed(catalogue, away)
    assert away.asked < len(keys), "a store that is away is not asked for each"
    with pytest.raises(BlobsUnavailable):
        remove_doomed(catalogue, Stubborn(blobs.root, {keys[0]}), PROJECT)
    assert catalogue.doomed.page() == ((PROJECT, keys[0]),)
    assert list(blobs.keys()) == [keys[0]]
    assert remove_doomed(catalogue, blobs, "other") == 0
    assert remove_doomed(catalogue, blobs) == 1
    assert list(blobs.keys()) == []
