from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from slicebank_store.catalogue import BagRecord, HeadOutcome, NewHead, NewJob
from slicebank_store.identity import prediction_id
from slicebank_store.types import JobKind
from tests.service.support import Api, FakeWorker, MakeFiles, World

JSON = dict[str, Any]
LABELS = ["liver", "lung <script>alert(1)</script> $x_1$"]


def jpeg(grey: int) -> bytes:
    """A picture of one grey, 256 pixels a side."""
    target = io.BytesIO()
    Image.new("L", (256, 256), grey).save(target, "JPEG")
    return target.getvalue()


@dataclass
class Shelf:
    """An application with stored bags, and heads whose reports tests choose."""

    api: Api
    world: World
    worker: FakeWorker
    bags: list[BagRecord]

    def head(self, report: JSON, name: str = "lesions", *, trained: bool = True) -> str:
        """Trains a version that leaves this report, and gives its id."""
        bag = self.bags[0]
        new = NewHead(
            project=bag.project,
            name=name,
            encoder=bag.encoder,
            level=bag.level,
            dim=bag.dim,
            recipe=bag.recipe,
            recipe_digest=bag.recipe_digest,
            task=report.get("task") or {"kind": "multilabel", "labels": ["a", "b"]},
            training={"folds": 2},
            series_uids=tuple(item.series_uid for item in self.bags),
        )
        head, job = self.world.catalogue.heads.create(new, params={}, manifest={})
        if not trained:
            return head.head_id
        lease = self.worker.claim(job.job_id)
        head_id = head.head_id
        key = f"{lease.job.project}/heads/{head_id}-{lease.fence}.safetensors"
        self.world.blobs.put_bytes(key, b"weights")
        cases = [{"series_uid": bag.series_uid} for bag in self.bags]
        outcome = HeadOutcome(
            head_id=head_id,
            blob_key=key,
            sha256="0" * 64,
            size_bytes=7,
            metrics={"mean": {"auroc": 0.5}},
            report={"cases": cases, **report},
        )
        assert self.world.catalogue.jobs.succeed(lease, {"head_id": head_id}, head=outcome)
        return head_id

    def answer(self, head: str, bag: BagRecord) -> str:
        """Has a head asked about a bag, and gives the prediction's id."""
        prediction = prediction_id(bag.project, head, bag.bag_id)
        job = self.world.catalogue.jobs.create(
            NewJob(
                project=bag.project,
                kind=JobKind.PREDICT,
                series_uid=bag.series_uid,
                bag_id=bag.bag_id,
                head_id=head,
                prediction_id=prediction,
                params={"head_id": head, "bag_id": bag.bag_id},
            )
        )
        return self.worker.predict(job.job_id).prediction_id


@pytest.fixture
def shelf(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> Shelf:
    """Four patients, a bag each, with pictures."""
    uploads = [api.upload(make_files(seed, n_slices=5, patient_id=f"P{seed}")) for seed in range(4)]
    bags = [
        worker.embed(upload.json()["series"][0]["job_id"], thumbnail=jpeg(60 + 40 * place))
        for place, upload in enumerate(uploads)
    ]
    return Shelf(api, world, worker, bags)
