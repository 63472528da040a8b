"""How long does an answer from a stored bag take over REST, on a warm and otherwise idle service?

Bags of 300 slices in two windows, 600 rows of 576 numbers, and the published head in five folds; one question after the
other over one connection, each about another bag, so that every answer is computed: request, question to the worker, reading the bag,
the head, the answer's row, and the JSON of every row's attention. Beside it the same questions again, which are answered
from the catalogue, and the head alone in this process. `parts_ms` says where the time goes, by the answers' own `Server-Timing`.
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments

if TYPE_CHECKING:
    import httpx

    from slicebank_models.heads.ensemble import HeadEnsemble
    from slicebank_store.catalogue import Catalogue

SLICES, WINDOWS, DIM, FOLDS = 300, 2, 576, 5
NEEDED = {"p50_ms": 25.0, "p99_ms": 80.0}
PROJECT = "default"
HEAD = "nodule"
WARM_UP = 20
SEED = 7


def published_head() -> HeadEnsemble:
    """The published head with weights as they are at the start of a training."""
    import torch

    from slicebank_models.cards import EncoderLevel
    from slicebank_models.heads.build import build_head
    from slicebank_models.heads.ensemble import HeadEnsemble
    from slicebank_models.heads.head_spec import HeadSpec
    from slicebank_models.heads.spec import TaskKind, TaskSpec

    torch.manual_seed(SEED)
    task = TaskSpec(TaskKind.BINARY, (HEAD,))
    folds = [build_head(HeadSpec(), EncoderLevel.SLICE, DIM, task).state_dict() for _ in range(FOLDS)]
    return HeadEnsemble(task, dim=DIM, level=EncoderLevel.SLICE, folds=folds)


def fill_store(data_dir: Path, bags: int) -> list[str]:
    """Writes bags and a head as workers would; the bags' series.

    Args:
        data_dir: of a service that does not run yet.
        bags: how many.
    """
    import numpy as np

    from slicebank_store.bags import BagHeader, BagWriter
    from slicebank_store.blobs import DirectoryBlobs
    from slicebank_store.blobs.keys import bag_key
    from slicebank_store.catalogue import BagRecord, Catalogue
    from slicebank_store.recipe import Recipe
    from slicebank_store.settings import StoreSettings
    from slicebank_store.types import BagLevel

    settings = StoreSettings(data_dir=data_dir)
    catalogue = Catalogue.create_or_upgrade(settings.resolved_catalogue_url)
    blobs = DirectoryBlobs(settings.resolved_blobs_dir)
    generator = np.random.default_rng(SEED)
    series = []
    for number in range(bags):
        lease = _submit(catalogue, number)
        job, manifest = lease.job, catalogue.jobs.manifest(lease.job.job_id)
        recipe = Recipe.from_dict(job.params["recipe"])
        bag_id = job.bag_id or ""
        header = BagHeader.from_manifest(
            manifest, name=bag_id, level=BagLevel.SLICE, recipe=recipe, software="benchmark", created_at=1.0
        )
        key = bag_key(PROJECT, recipe.encoder, bag_id, job.job_id, lease.fence)
        rows = generator.normal(size=(SLICES, WINDOWS, DIM)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            writer = BagWriter(Path(folder) / "bag.part", header, n_slices=SLICES, n_windows=WINDOWS, dim=DIM)
            for index in range(SLICES):
                writer.append_slice(index, rows[index], None)
            file = writer.close({"device": "benchmark"})
            blobs.put_file(key, file.path)
        bag = BagRecord(
            project=PROJECT,
            bag_id=bag_id,
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
            level=BagLevel.SLICE,
            n_rows=file.n_rows,
            n_slices=file.n_slices,
            dim=DIM,
            dtype="float32",
            windows=recipe.as_dict()["windows"],
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            blob_key=key,
            created_at=float(number),
        )
        if not catalogue.jobs.succeed(lease, {"bag_id": bag_id}, bag=bag):
            raise RuntimeError("the bag was not taken")
        series.append(bag.series_uid)
    _store_head(catalogue, blobs, _recipe(), series[0])
    catalogue.close()
    return series


def _recipe() -> Any:
    from slicebank_store.recipe import Recipe, RecipeWindow

    windows = (RecipeWindow("abdomen", -175, 275), RecipeWindow("lung", -1500, 500))
    return Recipe("benchmark", "0" * 64, windows, 224, "pil_antialias")


def _submit(catalogue: Catalogue, number: int) -> Any:
    from slicebank_store.catalogue import EmbedRequest, IncomingSeries, IncomingStack
    from slicebank_store.identity import content_digest
    from slicebank_store.types import BagLevel

    uids = [f"1.2.826.0.1.3680043.8.498.{number}.{index}" for index in range(SLICES)]
    digests = tuple(hashlib.sha256(uid.encode()).hexdigest() for uid in uids)
    slices = [
        {
            "file": str(index),
            "frame_number": 1,
            "sop_instance_uid": uid,
            "instance_number": index + 1,
            "z_mm": 2.5 * index,
            "slope": 1.0,
            "intercept": -1024.0,
            "padding": None,
        }
        for index, uid in enumerate(uids)
    ]
    stack = IncomingStack(
        stack=0,
        slices=slices,
        slice_digests=digests,
        content_digest=content_digest(digests),
        n_slices=SLICES,
        geometry={"n_slices": SLICES, "uniform": True},
        rescale={"slope": 1.0, "intercept": -1024.0},
        rows=512,
        columns=512,
        field_of_view_mm=400.0,
        axial=True,
    )
    incoming = IncomingSeries(
        project=PROJECT,
        series_uid=f"1.2.{number}",
        study_uid=f"1.3.{number}",
        patient=f"patient {number}",
        body_part="CHEST",
        stacks=(stack,),
        default_stack=0,
        options={"assume_rescale": None, "force_not_hu": False},
        warnings=(),
    )
    request = EmbedRequest(recipe=_recipe(), staging="f" * 32, level=BagLevel.SLICE, dim=DIM)
    (submitted,) = catalogue.submissions.submit_series(incoming, request)
    lease = catalogue.jobs.claim(submitted.job_id, worker="benchmark", lease_s=60)
    if lease is None:
        raise RuntimeError("the job was not to be had")
    return lease


def _store_head(catalogue: Catalogue, blobs: Any, recipe: Any, series_uid: str) -> None:
    from slicebank_store.blobs.keys import head_key
    from slicebank_store.catalogue import HeadOutcome, NewHead
    from slicebank_store.types import BagLevel

    ensemble = published_head()
    new = NewHead(
        project=PROJECT,
        name=HEAD,
        encoder=recipe.encoder,
        level=BagLevel.SLICE,
        dim=DIM,
        recipe=recipe.as_dict(),
        recipe_digest=recipe.digest,
        task=ensemble.task.as_dict(),
        training={"windows": None},
        series_uids=(series_uid,),
    )
    head, job = catalogue.heads.create(new, params={}, manifest={})
    lease = catalogue.jobs.claim(job.job_id, worker="benchmark", lease_s=60)
    if lease is None:
        raise RuntimeError("the job was not to be had")
    key, data = head_key(PROJECT, head.head_id, lease.fence), ensemble.to_bytes()
    size = blobs.put_bytes(key, data)
    outcome = HeadOutcome(head.head_id, key, hashlib.sha256(data).hexdigest(), size, metrics={}, report={})
    if not catalogue.jobs.succeed(lease, {"head_id": head.head_id}, head=outcome):
        raise RuntimeError("the head was not taken")


def ask_all(client: httpx.Client, series: Sequence[str]) -> tuple[list[float], list[dict[str, float]]]:
    """Asks about each series in turn; milliseconds of each answer, and of the stages that it tells of."""
    walls, stages = [], []
    for series_uid in series:
        started = time.perf_counter()
        answer = client.post(f"/v1/heads/{HEAD}/predictions", json={"series_uid": series_uid})
        walls.append(1000 * (time.perf_counter() - started))
        if answer.status_code != 200 or len(answer.json()["attention"]["rows"]) != SLICES * WINDOWS:
            raise RuntimeError(f"no answer: {answer.status_code} {answer.text[:200]}")
        told = re.findall(r"(\w+);dur=([0-9.]+)", answer.headers.get("server-timing", ""))
        stages.append({name: float(duration) for name, duration in told})
    return walls, stages


def head_alone(rounds: int) -> list[float]:
    """Milliseconds of the head in this process, on one thread as its worker has; nothing is read or written."""
    import numpy as np
    import torch

    ensemble = published_head()
    rows = np.random.default_rng(SEED).normal(size=(SLICES * WINDOWS, DIM)).astype(np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    walls = []
    for _ in range(rounds + 3):
        started = time.perf_counter()
        ensemble.predict(rows)
        walls.append(1000 * (time.perf_counter() - started))
    torch.set_num_threads(threads)
    return walls[3:]


def percentiles(walls: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and the longest, milliseconds."""
    cuts = statistics.quantiles(walls, n=100, method="inclusive")
    return {"p50_ms": cuts[49], "p90_ms": cuts[89], "p99_ms": cuts[98], "max_ms": max(walls), "asked": len(walls)}


def parts_of(stages: Sequence[dict[str, float]], walls: Sequence[float]) -> dict[str, float]:
    """Medians of where the time of an answer goes, milliseconds.

    The worker's stages: `read`, `predict`, `tell` (attention and whether the patient was learnt from), `store` (the answer's row);
    `request`: all that is outside them: looking up, asking the worker, the answer's JSON and its way.
    """
    if not all(stages):
        raise RuntimeError(f"{sum(not one for one in stages)} answers were not put straight to a worker")
    found = {name: statistics.median(one[name] for one in stages) for name in stages[0]}
    rest = [wall - sum(one.values()) for wall, one in zip(walls, stages, strict=True)]
    return {"request": statistics.median(rest), **found}


def run(form: Form) -> None:
    """Measures on a service of its own."""
    import httpx

    from benchmarks.processes import services_ready
    from benchmarks.record import save
    from benchmarks.serving import serving

    asked = form.pick(100, 300)
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = Path(scratch) / "data"
        series = fill_store(data_dir, WARM_UP + asked)
        with serving(data_dir):
            services_ready(data_dir)
            address = json.loads((data_dir / "client.json").read_text())
            headers = {"Authorization": f"Bearer {address['api_key']}"}
            with httpx.Client(base_url=address["url"], headers=headers, timeout=60) as client:
                ask_all(client, series[:WARM_UP])
                walls, stages = ask_all(client, series[WARM_UP:])
                again, _ = ask_all(client, series[WARM_UP:])
        parts = parts_of(stages, walls)
    alone = statistics.median(head_alone(form.pick(20, 100)))
    figures = {
        "rows": SLICES * WINDOWS,
        "dim": DIM,
        "folds": FOLDS,
        "computed": percentiles(walls),
        "known": percentiles(again),
        "parts_ms": parts,
        "head_alone_ms": alone,
        "needed": NEEDED,
    }
    for name in ("computed", "known"):
        one = figures[name]
        print(f"{name}: p50 {one['p50_ms']:.1f} ms, p90 {one['p90_ms']:.1f} ms, p99 {one['p99_ms']:.1f} ms")  # type: ignore[index]
    print(f"head alone: {alone:.1f} ms; parts: {', '.join(f'{k} {v:.1f}' for k, v in parts.items())}")
    print(save("prediction_latency", __doc__ or "", figures, form))


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
