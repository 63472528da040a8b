"""A catalogue with real bags, a head and kept pixels behind it."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from slicebank_store.bags import BagHeader, BagWriter
from slicebank_store.blobs import BlobStore, bag_key, head_key, pixels_key
from slicebank_store.catalogue import BagRecord, Catalogue, HeadOutcome, Lease
from slicebank_store.catalogue.jobs import NewJob
from slicebank_store.recipe import Recipe
from slicebank_store.retained import RetainedWriter
from slicebank_store.types import BagLevel, JobKind

from ..builders import PROJECT, bag_of, claim, head_of, outcome_of, prediction_of, series_of, stack_of, submit


def write_bag(path: Path, manifest: dict[str, object], recipe: Recipe, bag_id: str) -> tuple[str, int]:
    """Writes the bag of a manifest; its SHA-256 and size."""
    header = BagHeader.from_manifest(
        manifest, name=bag_id, level=BagLevel.SLICE, recipe=recipe, software="test", created_at=1.0
    )
    n_slices, n_windows = len(header.slices), len(recipe.windows)
    writer = BagWriter(path, header, n_slices=n_slices, n_windows=n_windows, dim=8)
    for index in range(n_slices):
        writer.append_slice(index, np.full((n_windows, 8), index, np.float32), None)
    file = writer.close({"device": "test"})
    return file.sha256, file.size_bytes


def embed(catalogue: Catalogue, blobs: BlobStore, series_uid: str, *, retain: bool = False) -> tuple[BagRecord, Lease]:
    """Does a worker's part with real files; the bag, and the lease under which it was made."""
    stack = replace(stack_of(range(4), content=series_uid), rows=8, columns=8)
    submitted = submit(catalogue, series_of(stack, series_uid=series_uid), retain=retain)
    lease = claim(catalogue, submitted.job_id)
    job, manifest = lease.job, catalogue.jobs.manifest(submitted.job_id)
    bag_id = job.bag_id or ""
    key = bag_key(PROJECT, "dummy", bag_id, job.job_id, lease.fence)
    pixels = pixels_key(PROJECT, job.job_id, lease.fence) if retain else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bag"
        sha256, size = write_bag(path, manifest, Recipe.from_dict(job.params["recipe"]), bag_id)
        blobs.put_file(key, path)
        if pixels is not None:
            kept = RetainedWriter(Path(folder) / "pixels", n_slices=4, rows=8, columns=8)
            for index in range(3):  # the last could not be decoded
                kept.write(index, np.full((8, 8), index))
            kept.close()
            blobs.put_file(pixels, Path(folder) / "pixels")
    bag = replace(bag_of(catalogue, lease), blob_key=key, sha256=sha256, size_bytes=size)
    assert catalogue.jobs.succeed(lease, {"bag_id": bag_id}, bag=bag, pixels_key=pixels)
    return bag, lease


def train(catalogue: Catalogue, blobs: BlobStore) -> tuple[str, str]:
    """Trains a head on nothing; its id and the key of its weights."""
    head, job = catalogue.heads.create(head_of(), params={}, manifest={"cases": []})
    lease = claim(catalogue, job.job_id)
    key = head_key(PROJECT, head.head_id, lease.fence)
    blobs.put_bytes(key, b"weights")
    outcome: HeadOutcome = replace(
        outcome_of(head.head_id), blob_key=key, sha256=hashlib.sha256(b"weights").hexdigest(), size_bytes=7
    )
    assert catalogue.jobs.succeed(lease, {"head_id": head.head_id}, head=outcome)
    return head.head_id, key


def predict(catalogue: Catalogue, head_id: str, bag: BagRecord) -> str:
    """Stores an answer of a head about a bag; its id."""
    answer = prediction_of(head_id, bag)
    new = NewJob(
        project=PROJECT,
        kind=JobKind.PREDICT,
        bag_id=bag.bag_id,
        head_id=head_id,
        prediction_id=answer.prediction_id,
    )
    lease = claim(catalogue, catalogue.jobs.create(new).job_id)
    assert catalogue.jobs.succeed(lease, {"prediction_id": answer.prediction_id}, prediction=answer)
    return answer.prediction_id
