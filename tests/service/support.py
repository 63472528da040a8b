"""A real catalogue and real blobs around the API, with fakes only for what would need other processes: queue, news, workers."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import numpy as np
from fastapi import FastAPI

from slicebank_models.registry import EncoderRegistry
from slicebank_service.app import create_app
from slicebank_service.settings import ServiceSettings
from slicebank_store.bags import BagHeader, BagWriter
from slicebank_store.blobs import DirectoryBlobs
from slicebank_store.blobs.keys import bag_key, pixels_key
from slicebank_store.catalogue import BagRecord, Catalogue, HeadOutcome, Lease, PredictionRecord
from slicebank_store.errors import QueueUnavailable
from slicebank_store.identity import ProjectKeys
from slicebank_store.intake import Staging
from slicebank_store.notify import JobNews
from slicebank_store.recipe import Recipe
from slicebank_store.types import BagLevel, JobKind, JobState, Priority
from slicebank_store.workers import WorkerStatus

MakeFiles = Callable[..., dict[str, bytes]]

KEY = "test-key"
ENCODER = "hu_statistics"


@dataclass
class FakeQueue:
    """Remembers what was sent; `down` makes the broker unreachable."""

    sent: list[tuple[JobKind, str, Priority]] = field(default_factory=list)
    hurried: list[str] = field(default_factory=list)
    down: bool = False

    def dispatch(self, kind: JobKind, job_id: str, priority: Priority = Priority.BULK) -> None:
        if self.down:
            raise QueueUnavailable("the broker is away")
        self.sent.append((kind, job_id, priority))

    def hurry(self, job_id: str) -> None:
        self.hurried.append(job_id)

    def waiting(self, queue: str) -> int:
        if self.down:
            raise QueueUnavailable("the broker is away")
        return sum(kind.queue == queue for kind, _, _ in self.sent)

    @property
    def job_ids(self) -> list[str]:
        return [job_id for _, job_id, _ in self.sent]


class News:
    """A subscription that tests speak into, from any thread."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[JobNews] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self) -> AsyncIterator[JobNews | None]:
        self._loop, self._queue = asyncio.get_running_loop(), asyncio.Queue()
        yield None
        while True:
            yield await self._queue.get()

    def say(self, job_id: str, state: JobState, project: str = "default") -> None:
        assert self._loop is not None
        assert self._queue is not None
        self._loop.call_soon_threadsafe(self._queue.put_nowait, JobNews(project, job_id, state))


@dataclass
class FakeBoard:
    """A worker board that tests write on; `down` makes the broker unreachable."""

    workers: list[WorkerStatus] = field(default_factory=list)
    down: bool = False

    def __call__(self) -> list[WorkerStatus]:
        if self.down:
            raise QueueUnavailable("the broker is away")
        return self.workers


@dataclass
class World:
    """Everything an application is made of."""

    settings: ServiceSettings
    catalogue: Catalogue
    blobs: DirectoryBlobs
    staging: Staging
    staging_dir: Path
    queue: FakeQueue
    registry: EncoderRegistry
    keys: ProjectKeys
    news: News
    board: FakeBoard

    def app(self, **changed: Any) -> FastAPI:
        settings = self.settings.model_copy(update=changed)
        return create_app(
            settings,
            catalogue=self.catalogue,
            blobs=self.blobs,
            staging=self.staging,
            queue=self.queue,
            registry=self.registry,
            keys=self.keys,
            notifications=self.news,
            living_workers=self.board,
        )

    def staged(self) -> dict[str, list[str]]:
        """What lies in staging: upload id -> names of its files."""
        return {
            folder.name: sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
            for folder in self.staging_dir.iterdir()
        }


@contextmanager
def make_world(root: Path, empty_catalogue: Path) -> Iterator[World]:
    """A world below a folder; its catalogue is a copy of an empty one, which is quicker than making one."""
    # Fakes change jobs without telling, so that who waits has to look often.
    often: dict[str, Any] = {"poll_seconds": 0.05, "connected_poll_seconds": 0.05}
    settings = ServiceSettings(data_dir=root, api_key=KEY, prediction_wait_seconds=0.3, **often)
    root.mkdir()
    shutil.copyfile(empty_catalogue, root / "catalogue.sqlite")
    catalogue = Catalogue.open(settings.resolved_catalogue_url)
    try:
        yield World(
            settings=settings,
            catalogue=catalogue,
            blobs=DirectoryBlobs(settings.resolved_blobs_dir),
            staging=Staging(settings.resolved_staging_dir),
            staging_dir=settings.resolved_staging_dir,
            queue=FakeQueue(),
            registry=EncoderRegistry(settings.resolved_encoders_dir),
            keys=ProjectKeys(settings.resolved_keys_dir),
            news=News(),
            board=FakeBoard(),
        )
    finally:
        catalogue.close()


class Api:
    """A client of an application that runs on an event loop of its own."""

    def __init__(self, app: FastAPI, portal: anyio.from_thread.BlockingPortal) -> None:
        self.app = app
        self._portal = portal

    def request(self, method: str, path: str, *, key: str | None = KEY, **options: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as client:
                return await client.request(method, path, headers=headers, **options)

        return self._portal.call(send)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def upload(self, files: dict[str, bytes], **query: Any) -> httpx.Response:
        parts = [("files", (name, content, "application/dicom")) for name, content in files.items()]
        return self.post("/v1/series", files=parts, params={"encoder": ENCODER, **query})

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a coroutine function on the application's loop."""
        return self._portal.call(function, *arguments)


@contextmanager
def serving(app: FastAPI) -> Iterator[Api]:
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield Api(app, portal)


class FakeWorker:
    """Does by hand what workers do, through the same ledger."""

    def __init__(self, world: World) -> None:
        self._world = world

    def claim(self, job_id: str) -> Lease:
        lease = self._world.catalogue.jobs.claim(job_id, worker="test", lease_s=60)
        assert lease is not None
        return lease

    def embed(self, job_id: str, *, thumbnail: bytes | None = None) -> BagRecord:
        """Finishes an embed job with rows that follow from the job alone."""
        lease = self.claim(job_id)
        job = lease.job
        assert job.bag_id is not None
        manifest = self._world.catalogue.jobs.manifest(job_id)
        recipe = Recipe.from_dict(job.params["recipe"])
        level = BagLevel(job.params["level"])
        header = BagHeader.from_manifest(
            manifest, name=job.bag_id, level=level, recipe=recipe, software="test", created_at=1.0
        )
        n_slices, n_windows, dim = len(header.slices), len(recipe.windows), job.params["dim"]
        rows = np.random.default_rng(int(job.bag_id[:8], 16)).normal(size=(n_slices, n_windows, dim)).astype(np.float32)
        key = bag_key(job.project, recipe.encoder, job.bag_id, job.job_id, lease.fence)
        with tempfile.TemporaryDirectory() as folder:
            writer = BagWriter(Path(folder) / "bag.part", header, n_slices=n_slices, n_windows=n_windows, dim=dim)
            for index in range(n_slices):
                writer.append_slice(index, rows[index], thumbnail)
            file = writer.close({"device": "test"})
            self._world.blobs.put_file(key, file.path)
        bag = BagRecord(
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
            level=level,
            n_rows=file.n_rows,
            n_slices=file.n_slices,
            dim=dim,
            dtype="float32",
            windows=recipe.as_dict()["windows"],
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            blob_key=key,
            created_at=time.time(),
        )
        pixels = pixels_key(job.project, job.job_id, lease.fence) if job.params["retain"] else None
        assert self._world.catalogue.jobs.succeed(lease, {"bag_id": job.bag_id}, bag=bag, pixels_key=pixels)
        return bag

    def train(self, job_id: str) -> None:
        """Finishes a train job without learning anything."""
        lease = self.claim(job_id)
        head_id = lease.job.head_id
        assert head_id is not None
        key = f"{lease.job.project}/heads/{head_id}-{lease.fence}.safetensors"
        self._world.blobs.put_bytes(key, b"weights")
        cases = lease.job.params["cases"]
        report = {
            "out_of_fold": [
                {
                    "index": i,
                    "patient": c["patient"],
                    "fold": i % 2,
                    "target": c["target"],
                    "probabilities": [0.25 * (i % 4)],
                }
                for i, c in enumerate(cases[:-1])
            ],
            "test_predictions": [
                {
                    "index": len(cases) - 1,
                    "patient": cases[-1]["patient"],
                    "fold": None,
                    "target": [1],
                    "probabilities": [0.5],
                }
            ],
            "splits": {"test": [cases[-1]["patient"]], "folds": []},
            "cases": [{**case, "series_uid": f"1.2.{index}"} for index, case in enumerate(cases)],
        }
        outcome = HeadOutcome(
            head_id=head_id,
            blob_key=key,
            sha256="0" * 64,
            size_bytes=7,
            metrics={"mean": {"auroc": 0.5}},
            report=report,
        )
        assert self._world.catalogue.jobs.succeed(lease, {"head_id": head_id}, head=outcome)

    def predict(self, job_id: str) -> PredictionRecord:
        """Finishes a predict job; the attention rises towards the head."""
        lease = self.claim(job_id)
        job = lease.job
        bag = self._world.catalogue.bags.get(job.project, job.params["bag_id"])
        assert bag is not None
        assert job.prediction_id is not None
        windows = [window["name"] for window in bag.windows]
        weights = np.arange(1, bag.n_rows + 1, dtype=float)
        weights /= weights.sum()
        rows = [
            {
                "row": row,
                "slice_index": row // len(windows),
                "window": windows[row % len(windows)],
                "sop_instance_uid": f"1.2.{row}",
                "instance_number": row + 1,
                "z_mm": 5.0 * (row // len(windows)),
                "weight": float(weights[row]),
                "logit": float(np.log(weights[row])),
            }
            for row in range(bag.n_rows)
        ]
        by_slice = weights.reshape(bag.n_slices, len(windows)).sum(axis=1)
        slices = [
            {"slice_index": i, "sop_instance_uid": f"1.2.{i}", "weight": float(by_slice[i]), "rank": bag.n_slices - i}
            for i in range(bag.n_slices)
        ]
        prediction = PredictionRecord(
            project=job.project,
            prediction_id=job.prediction_id,
            head_id=job.params["head_id"],
            bag_id=bag.bag_id,
            series_uid=bag.series_uid,
            study_uid=bag.study_uid,
            outputs=[{"label": "lesion", "probability": 0.75, "logit": 1.1, "fold_std": 0.05}],
            attention={"rows": rows, "slices": slices},
            created_at=time.time(),
        )
        assert self._world.catalogue.jobs.succeed(lease, {"prediction_id": job.prediction_id}, prediction=prediction)
        return prediction


@dataclass(frozen=True)
class Cohort:
    """An application with some stored bags."""

    api: Api
    world: World
    bags: list[BagRecord]


def make_bags(api: Api, worker: FakeWorker, make_files: MakeFiles, count: int) -> list[BagRecord]:
    """Stores bags of series of different patients, P0, P1, ..."""
    uploads = [api.upload(make_files(seed, n_slices=4 - seed % 2, patient_id=f"P{seed}")) for seed in range(count)]
    return [worker.embed(upload.json()["series"][0]["job_id"], thumbnail=b"jpeg") for upload in uploads]


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """An RFC 9457 problem document with our members; gives its body."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body: dict[str, Any] = json.loads(response.content)
    assert (response.status_code, body["code"]) == (status, code), body
    assert body["status"] == status
    assert len(body["detail"]) > 10
    assert body["request_id"] == response.headers["x-request-id"]
    return body
