from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.jobs import NewJob
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.errors import CatalogueUnavailable, UploadMissing
from slicebank_store.identity import new_id
from slicebank_store.intake import Staging
from slicebank_store.intake.arrivals import Arrivals, close_arrival, import_params, import_request
from slicebank_store.intake.request import IntakeRequest
from slicebank_store.types import BagLevel, JobKind, StudySource

from ..builders import LEASE_S, PROJECT, RECIPE

REQUEST = IntakeRequest(recipe=RECIPE, level=BagLevel.SLICE, dim=8, patient="Doe^Jane", study_uid="1.2")


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging")


@pytest.fixture
def incoming(staging: Staging) -> Path:
    """Where a receiver writes files before they join their study."""
    return staging.new().folder


@pytest.fixture
def real_time(sqlite_url: str) -> Catalogue:
    return Catalogue.open(sqlite_url)


def written(folder: Path, content: bytes) -> Path:
    path = folder / new_id()
    path.write_bytes(content)
    return path


def test_files_gather_in_the_order_in_which_they_come(real_time: Catalogue, staging: Staging, incoming: Path) -> None:
    arrivals = Arrivals(real_time, staging, PROJECT, quiet_s=60)
    first = arrivals.add("1.2", [written(incoming, b"a"), written(incoming, b"b")], REQUEST)
    second = arrivals.add("1.2", [written(incoming, b"c")], REQUEST)
    other = arrivals.add("1.3", [written(incoming, b"d")], REQUEST)
    assert first.job_id == second.job_id != other.job_id
    assert not any(incoming.iterdir())
    files = close_arrival(staging.path(first.staging or ""))
    assert [path.read_bytes() for path in files] == [b"a", b"b", b"c"]
    assert close_arrival(staging.path(first.staging or "")) == files, "asked again after a crash"
    assert len([folder for folder in staging.root.iterdir() if folder.name != incoming.name]) == 3  # and a mark


def test_a_file_joins_until_the_folder_closes(real_time: Catalogue, staging: Staging, incoming: Path) -> None:
    arrivals = Arrivals(real_time, staging, PROJECT, quiet_s=60)
    job = arrivals.add("1.2", [written(incoming, b"a")], REQUEST)
    assert arrivals.join(job, written(incoming, b"b"))
    assert [path.read_bytes() for path in close_arrival(staging.path(job.staging or ""))] == [b"a", b"b"]
    late = written(incoming, b"c")
    assert not arrivals.join(job, late)
    assert late.read_bytes() == b"c"


def test_nothing_is_swept_that_has_arrived(real_time: Catalogue, staging: Staging, incoming: Path) -> None:
    job = Arrivals(real_time, staging, PROJECT, quiet_s=60).add("1.2", [written(incoming, b"a")], REQUEST)
    staging.sweep(lambda: real_time.jobs.staging_in_use(failed_within_s=1), older_than_s=0, now=time.time() + 9e9)
    assert staging.exists(job.staging or "")


def test_no_file_is_lost_or_taken_twice_while_jobs_close(
    real_time: Catalogue, staging: Staging, incoming: Path
) -> None:
    """Receivers add while a worker takes jobs over again and again."""
    arrivals = Arrivals(real_time, staging, PROJECT, quiet_s=0.001)
    sent = [f"{number}".encode() for number in range(120)]
    taken: list[bytes] = []
    done = threading.Event()

    def receive(part: list[bytes]) -> None:
        for content in part:
            arrivals.add("1.2", [written(incoming, content)], REQUEST)

    def work() -> None:
        while True:
            last = done.is_set()
            lease = real_time.jobs.claim_next(JobKind.IMPORT.queue, worker="w", lease_s=LEASE_S)
            if lease is None:
                if last:
                    return
                continue
            assert real_time.arriving.close(lease)
            taken.extend(path.read_bytes() for path in close_arrival(staging.path(lease.job.staging or "")))
            real_time.jobs.succeed(lease, {})

    threads = [threading.Thread(target=receive, args=(sent[start::3],)) for start in range(3)]
    worker = threading.Thread(target=work)
    for thread in (*threads, worker):
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.05)  # until the last job is due
    done.set()
    worker.join()
    assert sorted(taken) == sorted(sent)


def test_a_folder_that_cannot_be_opened_leaves_the_files(
    real_time: Catalogue, staging: Staging, incoming: Path
) -> None:
    arrivals = Arrivals(real_time, staging, PROJECT, quiet_s=60, patience_s=0.1)
    job = arrivals.add("1.2", [written(incoming, b"a")], REQUEST)
    staging.remove(job.staging or "")
    left = written(incoming, b"b")
    with pytest.raises(UploadMissing, match="send the study again"):
        arrivals.add("1.2", [left], REQUEST)
    assert left.read_bytes() == b"b"


def test_what_a_job_is_asked_for_names_nobody() -> None:
    params = import_params(StudySource.ARRIVAL, REQUEST)
    assert "Doe" not in str(params)
    assert import_request(params) == REQUEST.without_names()


@dataclass
class Unheard:
    """A catalogue whose connection breaks once it has committed."""

    catalogue: Catalogue

    @property
    def arriving(self) -> Unheard:
        return self

    def expect(self, new: NewJob, *, quiet_s: float) -> JobRecord:
        self.catalogue.arriving.expect(new, quiet_s=quiet_s)
        raise CatalogueUnavailable("the connection broke")


def test_a_job_whose_commit_nobody_heard_of_keeps_its_folder(
    real_time: Catalogue, staging: Staging, incoming: Path
) -> None:
    path = written(incoming, b"a")
    with pytest.raises(CatalogueUnavailable):
        Arrivals(cast(Catalogue, Unheard(real_time)), staging, PROJECT, quiet_s=60).add("1.2", [path], REQUEST)
    assert path.exists()
    job = Arrivals(real_time, staging, PROJECT, quiet_s=60, patience_s=0.1).add("1.2", [path], REQUEST)
    assert [taken.read_bytes() for taken in close_arrival(staging.path(job.staging or ""))] == [b"a"]


def test_a_study_whose_folder_is_lost_is_not_put_off_by_every_file(
    real_time: Catalogue, staging: Staging, incoming: Path
) -> None:
    arrivals = Arrivals(real_time, staging, PROJECT, quiet_s=60, patience_s=0.05)
    job = arrivals.add("1.2", [written(incoming, b"a")], REQUEST)
    staging.remove(job.staging or "")
    late = written(incoming, b"b")
    with pytest.raises(UploadMissing):
        arrivals.add("1.2", [late], REQUEST)
    assert late.exists()
    lease = real_time.jobs.claim_next("embed", worker="w", lease_s=LEASE_S, kinds=[JobKind.IMPORT])
    assert lease is not None, "due at once: it fails, and what is sent again makes another"
    assert lease.job.job_id == job.job_id
