from __future__ import annotations

import os
from pathlib import Path

from slicebank_store.blobs import DirectoryBlobs, bag_key
from slicebank_store.catalogue import Catalogue
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
