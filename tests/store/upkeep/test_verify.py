from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert

from slicebank_store.blobs import DirectoryBlobs, bag_key, pixels_key
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.rows import to_row
from slicebank_store.catalogue.tables import bags
from slicebank_store.catalogue.upkeep import PAGE, Fate
from slicebank_store.errors import BlobsUnavailable
from slicebank_store.types import JobState
from slicebank_store.upkeep import Finding, FindingCode, Verifier

from ..builders import LEASE_S, PROJECT, RECIPE, Clock, claim, series_of, submit
from .stocking import embed, predict, train


def verify(catalogue: Catalogue, blobs: DirectoryBlobs, *, quick: bool = False, repair: bool = False) -> list[Finding]:
    return list(Verifier(catalogue, blobs, quick=quick, repair=repair).run())


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return sorted((finding.code.value, finding.what) for finding in findings)


def change(path: Path, at: int) -> None:
    """Flips one bit."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_nothing_is_found_where_nothing_is_wrong(catalogue: Catalogue, blobs: DirectoryBlobs) -> None:
    embed(catalogue, blobs, "1.1")
    embed(catalogue, blobs, "1.2", retain=True)
    train(catalogue, blobs)
    verifier = Verifier(catalogue, blobs)
    assert list(verifier.run()) == []
    assert verifier.checked == {"bag": 2, "head": 1, "pixels": 1, "blob": 4}


def test_damage_of_every_sort_is_found(catalogue: Catalogue, blobs: DirectoryBlobs) -> None:
    keys = [embed(catalogue, blobs, f"1.{number}")[0].blob_key for number in range(4)]
    sound, gone, short, flipped = keys
    blobs.delete(gone)
    os.truncate(blobs.root / short, 100)
    change(blobs.root / flipped, blobs.size(flipped) // 2)
    _, head = train(catalogue, blobs)
    change(blobs.root / head, 3)
    made, lease = embed(catalogue, blobs, "1.9", retain=True)
    pixels = pixels_key(PROJECT, lease.job.job_id, lease.fence)
    os.truncate(blobs.root / pixels, blobs.size(pixels) // 2)
    found = [("blob_checksum", flipped), ("blob_checksum", head), ("blob_missing", gone), ("blob_size", short)]
    assert codes(verify(catalogue, blobs)) == sorted([*found, ("blob_unreadable", pixels)])
    quick = verify(catalogue, blobs, quick=True)
    assert codes(quick) == [("blob_missing", gone), ("blob_size", short)]
    assert not any(finding.mended for finding in quick)
    assert {sound, made.blob_key} <= set(blobs.keys())


def test_repair_removes_damaged_bags_and_makes_them_again_from_kept_pixels(
    catalogue: Catalogue, blobs: DirectoryBlobs
) -> None:
    sound, _ = embed(catalogue, blobs, "1.1")
    lost, _ = embed(catalogue, blobs, "1.2")
    kept, lease = embed(catalogue, blobs, "1.3", retain=True)
    head_id, head = train(catalogue, blobs)
    answers = [predict(catalogue, head_id, bag) for bag in (sound, lost, kept)]
    blobs.delete(lost.blob_key)
    change(blobs.root / kept.blob_key, 1000)
    change(blobs.root / head, 0)

    findings = {finding.what: finding for finding in verify(catalogue, blobs, repair=True)}
    assert set(findings) == {lost.blob_key, kept.blob_key, head}
    assert (findings[lost.blob_key].mended, findings[kept.blob_key].mended, findings[head].mended) == (
        True,
        True,
        False,
    )
    assert [catalogue.bags.get(PROJECT, bag.bag_id) is not None for bag in (sound, lost, kept)] == [True, False, False]
    assert [catalogue.predictions.get(PROJECT, answer) is not None for answer in answers] == [True, False, False]
    job = catalogue.jobs.active_for_bag(PROJECT, kept.bag_id)
    assert job is not None
    assert job.job_id in findings[kept.blob_key].action
    assert catalogue.jobs.manifest(job.job_id)["pixels_key"] == pixels_key(PROJECT, lease.job.job_id, lease.fence)
    assert catalogue.jobs.active_for_bag(PROJECT, lost.bag_id) is None
    # What nobody can repair is still said; everything else is in order.
    assert codes(verify(catalogue, blobs, repair=True)) == [("blob_checksum", head)]
    assert submit(catalogue, series_of(series_uid="1.2")).created


def test_a_backend_that_holds_nothing_of_the_catalogue_is_not_taken_for_loss(
    catalogue: Catalogue, blobs: DirectoryBlobs
) -> None:
    bag, _ = embed(catalogue, blobs, "1.1")
    shutil.rmtree(blobs.root / PROJECT)
    assert codes(verify(catalogue, blobs)) == [("blob_missing", bag.blob_key)]
    with pytest.raises(BlobsUnavailable, match="nothing is repaired"):
        verify(catalogue, blobs, repair=True)
    assert catalogue.bags.get(PROJECT, bag.bag_id) is not None


def test_a_stored_blob_is_an_orphan_exactly_when_nobody_can_commit_it(
    catalogue: Catalogue, blobs: DirectoryBlobs, clock: Clock
) -> None:
    bag, _ = embed(catalogue, blobs, "1.1")
    job = submit(catalogue, series_of(series_uid="1.2"))
    first = claim(catalogue, job.job_id)

    def key(fence: int) -> str:
        return bag_key(PROJECT, RECIPE.encoder, job.bag_id or "", job.job_id, fence)

    blobs.put_bytes(key(first.fence), b"written before the lease was lost")
    assert catalogue.upkeep.fates([key(1)]) == {key(1): Fate.LIVE}
    # A lease that ran out holds until somebody takes it back: its worker may still commit.
    clock.advance(LEASE_S * 2)
    assert codes(verify(catalogue, blobs, repair=True)) == []
    catalogue.jobs.sweep(clock.now, redispatch_after_s=30)
    claim(catalogue, job.job_id)
    blobs.put_bytes(key(2), b"being written")
    stranger, newer = "default/bags/dummy/" + "e" * 32 + "-" + "f" * 32 + "-1.h5", key(7)
    for other in (stranger, newer, "default/notes/readme.txt"):
        blobs.put_bytes(other, b"")
    assert codes(verify(catalogue, blobs, repair=True)) == sorted(
        [
            ("blob_orphan", key(1)),
            *(("blob_foreign", other) for other in (stranger, newer, "default/notes/readme.txt")),
        ]
    )
    assert set(blobs.keys()) == {bag.blob_key, key(2), stranger, newer, "default/notes/readme.txt"}


def test_pixels_and_heads_of_deleted_things_are_orphans(catalogue: Catalogue, blobs: DirectoryBlobs) -> None:
    _, lease = embed(catalogue, blobs, "1.1", retain=True)
    head_id, head = train(catalogue, blobs)
    catalogue.deletions.delete_series(PROJECT, "1.1")
    catalogue.deletions.delete_head(PROJECT, head_id)
    pixels = pixels_key(PROJECT, lease.job.job_id, lease.fence)
    findings = verify(catalogue, blobs, repair=True)
    assert {finding.code for finding in findings} == {FindingCode.BLOB_ORPHAN}
    assert {head, pixels} < {finding.what for finding in findings}
    assert list(blobs.keys()) == []


def test_jobs_that_nobody_moves_are_listed(catalogue: Catalogue, blobs: DirectoryBlobs, clock: Clock) -> None:
    silent = submit(catalogue, series_of(series_uid="1.1")).job_id
    claim(catalogue, silent, worker="host:embed:7")
    clock.advance(3700)
    waiting = submit(catalogue, series_of(series_uid="1.2")).job_id
    (finding,) = verify(catalogue, blobs)
    assert (finding.code, finding.what) == (FindingCode.JOB_SILENT, silent)
    assert "host:embed:7" in finding.sentence
    clock.advance(3700)
    assert codes(verify(catalogue, blobs)) == [("job_silent", silent), ("job_waiting", waiting)]
    # A cohort that waits behind a job at work is not stuck.
    catalogue.jobs.sweep(clock.now, redispatch_after_s=30)
    running = claim(catalogue, silent)
    assert verify(catalogue, blobs, repair=True) == []
    catalogue.jobs.release(running)
    assert catalogue.jobs.get(PROJECT, waiting).state is JobState.QUEUED  # type: ignore[union-attr]


def test_everything_is_seen_over_several_pages(catalogue: Catalogue, blobs: DirectoryBlobs) -> None:
    bag, _ = embed(catalogue, blobs, "1.1")
    ids = [f"{number:032x}" for number in range(PAGE + 5)]
    keys = {bag_id: bag_key(PROJECT, "dummy", bag_id, "a" * 32, 1) for bag_id in ids}
    others = [to_row(replace(bag, bag_id=bag_id, blob_key=key)) for bag_id, key in keys.items()]
    with catalogue._database.write() as connection:
        connection.execute(insert(bags), others)
    missing = sorted(("blob_missing", key) for key in keys.values())
    assert codes(verify(catalogue, blobs, quick=True)) == missing
    for key in keys.values():
        (blobs.root / key).write_bytes(b"")
    wrong = sorted(("blob_size", key) for key in keys.values())
    assert codes(verify(catalogue, blobs, quick=True)) == wrong
