"""Studies that came file by file, from the first file to the bags; and workers that die on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_models.registry import EncoderRegistry
from slicebank_service.intake.take_in import intake_request
from slicebank_store.catalogue.jobs import Beat
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.intake.arrivals import Arrivals
from slicebank_store.pacs.sources import Sources
from slicebank_store.types import JobKind, JobState
from slicebank_worker.errors import JobCancelled
from slicebank_worker.jobs.imports import Importer
from slicebank_worker.jobs.imports.hands import ImportHands
from slicebank_worker.jobs.outcome import run_jobs
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Role
from slicebank_worker.sweeper import Sweeper
from tests.service.support import FakeQueue
from tests.worker.conftest import Workshop

STUDY = "1.2.826.0.1"


@dataclass
class Sender:
    """Hands files over as a receiver of STOW-RS or C-STORE does."""

    workshop: Workshop
    folder: Path

    def slices(self, seed: int = 0, n_slices: int = 8) -> list[Path]:
        return list(
            write_dicom(make_phantom(PhantomSpec(seed=seed, n_slices=n_slices, size=48)), self.folder / str(seed)).paths
        )

    def junk(self) -> Path:
        path = self.folder / "junk"
        path.write_bytes(b"no image at all" * 100)
        return path

    def send(self, files: list[Path], *, quiet_s: float = 0.0, **asked: Any) -> JobRecord:
        world = self.workshop.world
        arrivals = Arrivals(world.catalogue, world.staging, "default", quiet_s=quiet_s)
        return arrivals.add(STUDY, files, intake_request(EncoderRegistry().get("dummy"), **asked))


@pytest.fixture
def sender(workshop: Workshop, tmp_path: Path) -> Sender:
    folder = tmp_path / "sent"
    folder.mkdir()
    return Sender(workshop, folder)


def series_of(job: JobRecord) -> list[dict[str, Any]]:
    assert job.result is not None, job
    found: list[dict[str, Any]] = job.result["series"]
    return found


def test_a_study_that_came_file_by_file_becomes_a_bag(workshop: Workshop, sender: Sender) -> None:
    files = sender.slices()
    first = sender.send(files[:3])
    assert sender.send([*files[3:], sender.junk()]).job_id == first.job_id
    job = workshop.run(first.job_id)
    assert job.state is JobState.SUCCEEDED
    (series,) = series_of(job)
    assert series["n_slices"] == 8
    assert job.result is not None
    assert [item["code"] for item in job.result["rejected"]] == ["not_dicom"]
    assert job.result["n_rejected"] == 1
    assert (job.progress_done, job.progress_total, job.progress_unit) == (9, 9, "files")
    assert workshop.job(series["job_id"]).state is JobState.SUCCEEDED
    assert workshop.api.get(f"/v1/bags/{series['bag_id']}").json()["n_slices"] == 8
    assert workshop.world.staged() == {}


def test_a_study_that_is_still_arriving_is_nobodys(workshop: Workshop, sender: Sender) -> None:
    job = sender.send(sender.slices(), quiet_s=60)
    assert workshop.run(job.job_id).state is JobState.QUEUED


def test_what_comes_after_the_end_makes_a_study_of_its_own(workshop: Workshop, sender: Sender) -> None:
    files = sender.slices()
    first = sender.send(files[:5])
    workshop.run(first.job_id)
    again = [path for path in sender.slices() if path.name not in {sent.name for sent in files[:3]}]
    second = sender.send(again)
    assert second.job_id != first.job_id
    (series,) = series_of(workshop.run(second.job_id))
    assert (series["n_slices"], series["revision"]) == (5, 2)


def test_nothing_usable_says_why_and_is_not_tried_again(workshop: Workshop, sender: Sender) -> None:
    job = workshop.run(sender.send([sender.junk()]).job_id)
    assert (job.state, job.error_code, job.attempts) == (JobState.FAILED, "nothing_usable", 1)
    assert job.result is not None
    assert [item["code"] for item in job.result["rejected"]] == ["not_dicom"]
    assert "not_dicom 1" in (job.error_detail or "")
    assert not any(path.is_file() for path in workshop.world.staging_dir.rglob("*"))


class Killed(BaseException):
    """The worker dies here: nothing after it runs, and nobody hands the job back."""


@dataclass
class Fate:
    """Kills at the n-th call of anything that the job works with."""

    at: int
    after: bool
    calls: int = 0

    def meet(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise Killed
        answer = call(*args, **kwargs)
        if self.calls == self.at:
            raise Killed
        return answer


class Doomed:
    """Stands before a collaborator and its parts, and lets fate see every call."""

    def __init__(self, real: Any, fate: Fate) -> None:
        self._real, self._fate = real, fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if callable(found):
            return partial(self._fate.meet, found)
        return found if isinstance(found, str | Path) else Doomed(found, self._fate)


def die_once(workshop: Workshop, fate: Fate) -> bool:
    """Runs the import that is due with a worker that fate may kill; whether it did."""
    runtime = workshop.runtime
    lease = runtime.catalogue.jobs.claim_next("embed", worker="doomed", lease_s=30, kinds=[JobKind.IMPORT])
    assert lease is not None
    doomed = replace(
        runtime,
        catalogue=Doomed(runtime.catalogue, fate),
        staging=Doomed(runtime.staging, fate),
        queue=Doomed(runtime.queue, fate),
    )
    hold = Hold(lease, runtime.leases.stopping, lambda _hold: None)
    try:
        Importer(doomed, Sources({})).run(hold)
    except Killed:
        runtime.catalogue.jobs.sweep(time.time(), redispatch_after_s=3600, silent=runtime.catalogue.jobs.held())
        return True
    return False


@pytest.mark.parametrize("embeds_first", [False, True], ids=["then the import again", "then the embeds"])
@pytest.mark.parametrize("after", [False, True], ids=["before a step", "after it"])
def test_killed_anywhere_it_finds_the_same_and_loses_nothing(
    workshop: Workshop, sender: Sender, after: bool, embeds_first: bool
) -> None:
    embed = workshop.runners[Role.EMBED]
    for number in range(1, 100):
        files = sender.slices(seed=number, n_slices=3) + sender.slices(seed=1000 + number, n_slices=2)
        job = sender.send([*files, sender.junk()])
        died = die_once(workshop, Fate(number, after))
        if embeds_first:
            run_jobs(workshop.runtime, "embed", embed, kinds=[JobKind.EMBED])
        done = workshop.run(job.job_id)
        assert done.state is JobState.SUCCEEDED, (number, done)
        assert sorted(series["n_slices"] for series in series_of(done)) == [2, 3], number
        for series in series_of(done):
            assert workshop.job(series["job_id"]).state is JobState.SUCCEEDED, number
            assert workshop.api.get(f"/v1/bags/{series['bag_id']}").status_code == 200
        # A worker that died after its last word leaves the folder to the sweep of staging.
        workshop.world.staging.sweep(
            lambda: workshop.world.catalogue.jobs.staging_in_use(failed_within_s=0), older_than_s=0
        )
        assert workshop.world.staged() == {}
        if not died:
            assert number > 8
            return
    pytest.fail("it never got to its end")


def test_a_cancelled_import_stops_between_two_files(workshop: Workshop, sender: Sender) -> None:
    job = sender.send(sender.slices())
    catalogue = workshop.world.catalogue
    (lease,) = [catalogue.jobs.claim(job.job_id, worker="w", lease_s=30)]
    assert lease is not None
    hold = Hold(lease, workshop.runtime.leases.stopping, lambda _hold: None)
    hold.beat = Beat.CANCEL
    with pytest.raises(JobCancelled):
        Importer(workshop.runtime, Sources({})).run(hold)
    assert catalogue.series.list("default").items == []


def test_a_due_study_wakes_a_hand_at_once_while_all_others_are_busy(workshop: Workshop, sender: Sender) -> None:
    """The sweeper looks every hour here, and no message is delivered: the moment itself is what wakes."""
    sweeper = Sweeper(workshop.world.catalogue, FakeQueue(), every_s=3600, redispatch_after_s=3600, lease_s=30)
    runtime = replace(workshop.runtime, sweeper=sweeper)
    done = threading.Event()

    def run(hold: Hold) -> bool:
        try:
            return workshop.runners[Role.EMBED](hold)
        finally:
            done.set()

    job = sender.send(sender.slices(), quiet_s=0.3)
    sweeper.wake()
    with ImportHands(runtime, run, at_once=2):
        assert done.wait(30)
    sweeper.close()
    assert workshop.job(job.job_id).state is JobState.SUCCEEDED
    assert workshop.job(series_of(workshop.job(job.job_id))[0]["job_id"]).state is JobState.QUEUED


def test_files_beyond_the_limit_of_an_upload_are_refused_by_name(workshop: Workshop, sender: Sender) -> None:
    made = sender.send(sender.slices())
    settings = workshop.runtime.settings.model_copy(update={"max_upload_files": 6})
    runtime = replace(workshop.runtime, settings=settings)
    run_jobs(runtime, "embed", Importer(runtime, Sources({})).run, kinds=[JobKind.IMPORT])
    job = workshop.job(made.job_id)
    assert [item["n_slices"] for item in series_of(job)] == [6]
    assert job.result is not None
    assert [item["code"] for item in job.result["rejected"]] == ["too_many_files"] * 2
