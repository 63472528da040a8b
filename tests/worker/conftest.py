"""Real jobs in this process: the real API takes studies in, the real runners work on them, a thread stands for Celery."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.types import JobState
from slicebank_worker.gate import Gate
from slicebank_worker.jobs.outcome import JobRunner, run_jobs
from slicebank_worker.leases import Leases
from slicebank_worker.metrics import JobMeter
from slicebank_worker.roles import open_role
from slicebank_worker.runtime import Role, Runtime
from slicebank_worker.settings import WorkerSettings
from slicebank_worker.slots import Slots
from slicebank_worker.sweeper import Sweeper
from tests.service.support import Api, FakeQueue, World, make_world, serving


@dataclass
class Said:
    """Takes the place of the notifier and remembers what was said."""

    news: list[tuple[str, JobState]] = field(default_factory=list)

    def publish(self, project: str, job_id: str, state: JobState) -> None:
        self.news.append((job_id, state))


@dataclass
class Workshop:
    """An API with workers of every role in this process."""

    api: Api
    world: World
    runtime: Runtime
    runners: dict[Role, JobRunner]
    said: Said

    def run(self, job_id: str) -> JobRecord:
        """Does what a message about a job makes a worker do: that job, and whatever else is due."""
        role = Role(self.job(job_id).kind.queue)
        run_jobs(self.runtime, role.value, self.runners[role])
        return self.job(job_id)

    def job(self, job_id: str) -> JobRecord:
        job = self.world.catalogue.jobs.get("default", job_id)
        assert job is not None
        return job

    def upload(self, files: dict[str, bytes], **query: Any) -> dict[str, Any]:
        answer = self.api.upload(files, **query)
        assert answer.status_code in (200, 202), answer.text
        series: dict[str, Any] = answer.json()["series"][0]
        return series


@pytest.fixture
def workshop(tmp_path: Path, empty_catalogue: Path) -> Iterator[Workshop]:
    with make_world(tmp_path / "data", empty_catalogue) as world, serving(world.app()) as api:
        settings = WorkerSettings(data_dir=tmp_path / "data", decode_threads=2, postpone_seconds=0.2)
        said = Said()
        leases = Leases(world.catalogue.jobs, said, lease_s=30, heartbeat_s=0.02)
        queue = FakeQueue()
        sweeper = Sweeper(world.catalogue, queue, every_s=3600, redispatch_after_s=3600, lease_s=30)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        with ThreadPoolExecutor(2) as decoders:
            metrics = CollectorRegistry()
            runtime = Runtime(
                settings=settings,
                name="test",
                catalogue=world.catalogue,
                blobs=world.blobs,
                staging=world.staging,
                queue=queue,
                notifier=said,
                registry=world.registry,
                leases=leases,
                gate=Gate(),
                sweeper=sweeper,
                slots=Slots(4),
                metrics=metrics,
                meter=JobMeter(metrics, lambda: leases.held),
                decoders=decoders,
                scratch=scratch,
            )
            with (
                open_role(runtime, Role.EMBED) as embed,
                open_role(runtime, Role.TRAIN) as train,
                open_role(runtime, Role.PREDICT) as predict,
            ):
                runners = {Role.EMBED: embed.runner, Role.TRAIN: train.runner, Role.PREDICT: predict.runner}
                yield Workshop(api, world, runtime, runners, said)
        assert not list(scratch.iterdir())
        sweeper.close()
        leases.close()


@pytest.fixture(scope="session")
def empty_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.sqlite"
    Catalogue.create_or_upgrade(f"sqlite:///{path}").close()
    return path
