"""Small series, recipes and bags for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from slicebank_store.catalogue import (
    BagRecord,
    Catalogue,
    EmbedRequest,
    HeadOutcome,
    IncomingSeries,
    IncomingStack,
    Lease,
    NewHead,
    PredictionRecord,
    Submitted,
)
from slicebank_store.identity import content_digest, prediction_id
from slicebank_store.recipe import Recipe, RecipeWindow
from slicebank_store.types import BagLevel

PROJECT = "default"
LEASE_S = 15.0

RECIPE = Recipe(
    encoder="dummy",
    weights_digest="0" * 64,
    windows=(RecipeWindow("abdomen", -175, 275), RecipeWindow("lung", -1500, 500)),
    size=224,
    resize="pil_antialias",
)


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def slice_digest(number: int, content: str = "a") -> str:
    return hashlib.sha256(f"{content}/{number}".encode()).hexdigest()


def stack_of(
    numbers: Sequence[int], *, stack: int = 0, content: str = "a", folder: str = "0", axial: bool = True
) -> IncomingStack:
    digests = tuple(slice_digest(number, content) for number in numbers)
    return IncomingStack(
        stack=stack,
        slices=[
            {
                "file": f"{folder}/{number}",
                "frame_number": 1,
                "sop_instance_uid": f"1.2.{number}",
                "instance_number": number + 1,
                "z_mm": 2.5 * number,
                "slope": 1.0,
                "intercept": -1024.0,
                "padding": None,
            }
            for number in numbers
        ],
        slice_digests=digests,
        content_digest=content_digest(digests),
        n_slices=len(digests),
        geometry={"n_slices": len(digests), "uniform": True},
        rescale={"slope": 1.0, "intercept": -1024.0},
        rows=512,
        columns=512,
        field_of_view_mm=400.0,
        axial=axial,
    )


def series_of(
    *stacks: IncomingStack,
    series_uid: str = "1.2.3",
    study_uid: str = "1.2",
    patient: str = "p",
    default_stack: int = 0,
) -> IncomingSeries:
    return IncomingSeries(
        project=PROJECT,
        series_uid=series_uid,
        study_uid=study_uid,
        patient=patient,
        body_part="CHEST",
        stacks=stacks or (stack_of(range(4)),),
        default_stack=default_stack,
        options={"assume_rescale": None, "force_not_hu": False},
        warnings=(),
    )


def request_of(recipe: Recipe | None = RECIPE, *, staging: str = "f" * 32, **changes: Any) -> EmbedRequest:
    return EmbedRequest(recipe=recipe, staging=staging, level=BagLevel.SLICE, dim=8, **changes)


def submit(catalogue: Catalogue, incoming: IncomingSeries | None = None, **changes: Any) -> Submitted:
    """Submits one stack of a series."""
    return catalogue.submissions.submit_series(incoming or series_of(), request_of(**changes))[0]


def claim(catalogue: Catalogue, job_id: str, worker: str = "w") -> Lease:
    lease = catalogue.jobs.claim(job_id, worker=worker, lease_s=LEASE_S)
    assert lease is not None
    return lease


def bag_of(catalogue: Catalogue, lease: Lease, *, created_at: float = 0.0) -> BagRecord:
    """The row that a worker would write for an embed job."""
    job, manifest = lease.job, catalogue.jobs.manifest(lease.job.job_id)
    recipe = Recipe.from_dict(job.params["recipe"])
    assert job.bag_id is not None
    return BagRecord(
        project=job.project,
        bag_id=job.bag_id,
        series_uid=manifest["series_uid"],
        study_uid=manifest["study_uid"],
        patient=manifest["patient"],
        revision=manifest["revision"],
        stack=manifest["stack"],
        encoder=recipe.encoder,
        recipe=recipe.as_dict(),
        recipe_digest=recipe.digest,
        weights_digest=recipe.weights_digest,
        content_digest=manifest["content_digest"],
        level=BagLevel(job.params["level"]),
        n_rows=len(manifest["slices"]) * len(recipe.windows),
        n_slices=len(manifest["slices"]),
        dim=job.params["dim"],
        dtype="float32",
        windows=recipe.as_dict()["windows"],
        sha256="1" * 64,
        size_bytes=1000,
        blob_key=f"{job.project}/bags/{recipe.encoder}/{job.bag_id}-{lease.fence}.h5",
        created_at=created_at,
    )


def embed(catalogue: Catalogue, incoming: IncomingSeries | None = None, **changes: Any) -> BagRecord:
    """Submits a series and does a worker's part."""
    submitted = submit(catalogue, incoming, **changes)
    lease = claim(catalogue, submitted.job_id)
    bag = bag_of(catalogue, lease, created_at=submitted.revision)
    pixels = f"{PROJECT}/pixels/{bag.bag_id}.hdf5" if lease.job.params["retain"] else None
    assert catalogue.jobs.succeed(lease, {"bag_id": bag.bag_id, "skipped": []}, bag=bag, pixels_key=pixels)
    stored = catalogue.bags.get(PROJECT, bag.bag_id)
    assert stored is not None
    return stored


def head_of(name: str = "nodule", *, series_uids: tuple[str, ...] = ("1.2.3",)) -> NewHead:
    return NewHead(
        project=PROJECT,
        name=name,
        encoder=RECIPE.encoder,
        level=BagLevel.SLICE,
        dim=8,
        recipe=RECIPE.as_dict(),
        recipe_digest=RECIPE.digest,
        task={"kind": "binary", "labels": ["nodule"]},
        training={"lr": 1e-4},
        series_uids=series_uids,
    )


def train(catalogue: Catalogue, name: str = "nodule", *, series_uids: tuple[str, ...] = ("1.2.3",)) -> str:
    """Creates a head version and does a worker's part; its id."""
    head, job = catalogue.heads.create(head_of(name, series_uids=series_uids), params={}, manifest={"cases": []})
    assert catalogue.jobs.succeed(
        claim(catalogue, job.job_id), {"head_id": head.head_id}, head=outcome_of(head.head_id)
    )
    return head.head_id


def outcome_of(head_id: str) -> HeadOutcome:
    return HeadOutcome(
        head_id=head_id,
        blob_key=f"{PROJECT}/heads/{head_id}-1.safetensors",
        sha256="2" * 64,
        size_bytes=10,
        metrics={"mean": {"auroc": 0.9}},
        report={"folds": [1, 2]},
    )


def prediction_of(head_id: str, bag: BagRecord) -> PredictionRecord:
    return PredictionRecord(
        project=PROJECT,
        prediction_id=prediction_id(PROJECT, head_id, bag.bag_id),
        head_id=head_id,
        bag_id=bag.bag_id,
        series_uid=bag.series_uid,
        study_uid=bag.study_uid,
        outputs=[{"label": "nodule", "probability": 0.5, "logit": 0.0, "fold_std": 0.1}],
        attention={"rows": [], "slices": []},
        created_at=1.0,
    )
