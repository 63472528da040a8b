"""What is sent, what is not, and what lies on the disk meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slicebank import (
    Client,
    DatasetProblem,
    Encoder,
    Job,
    JobFailure,
    JobState,
    NothingUsable,
    ServerFault,
    Upload,
    UploadedSeries,
)
from slicebank.benchmark.case import Case
from slicebank.benchmark.embedding import IN_FLIGHT, Bags, Embedder

CASES = [Case(f"case-{number:02d}", f"P{number}") for number in range(20)]


@dataclass
class Folder:
    """A data set whose files are made, one case at a time."""

    scratch: Path
    marks: dict[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    made: list[str] = field(default_factory=list)
    name: str = "made"
    left_out: tuple[str, ...] = ()

    def cases(self) -> Sequence[Case]:
        return CASES

    def files_of(self, case: Case, scratch: Path) -> Path:
        if case.name in self.broken:
            raise DatasetProblem(f"{case.name} is damaged.")
        folder = scratch / case.name
        folder.mkdir()
        (folder / "1.dcm").write_bytes(b"x")
        self.made.append(case.name)
        return folder

    def patient_to_say(self, case: Case) -> str | None:
        return case.patient

    def mark(self, case: Case) -> str:
        return self.marks.get(case.name, "m")


@dataclass
class Server:
    """Answers like a service, and remembers."""

    scratch: Path
    bag_ids: set[str] = field(default_factory=set)
    sent: list[tuple[str, str, str | None]] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    most_running: int = 0
    refused: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    down_after: int = 10_000

    def upload(self, path: Path, *, encoder: str, patient: str | None, priority: str) -> Upload:
        assert [item.name for folder in self.scratch.iterdir() for item in folder.iterdir()] == [path.name]
        assert priority == "bulk"
        if len(self.sent) >= self.down_after:
            raise ServerFault("away", status=500, code="internal_error")
        if path.name in self.refused:
            raise NothingUsable("Nothing of it can be taken.", status=422, code="nothing_usable")
        self.sent.append((path.name, encoder, patient))
        job = f"{encoder} {path.name}"
        self.running.add(job)
        self.most_running = max(self.most_running, len(self.running))
        return Upload((UploadedSeries(f"1.2.{path.name}", job_id=job, bag_id=f"bag {job}"),))

    def wait_all(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        self.running -= set(job_ids)
        failed = [job for job in job_ids if job in self.failing]
        self.bag_ids |= {f"bag {job}" for job in job_ids if job not in failed}
        return tuple(
            Job(job, "embed", JobState.FAILED, error=JobFailure("decode_failed", "Too many slices are damaged."))
            if job in failed
            else Job(job, "embed", JobState.SUCCEEDED)
            for job in job_ids
        )

    def bags(self, *, encoder: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(bag_id=name) for name in self.bag_ids if name.startswith(f"bag {encoder} ")]

    @property
    def client(self) -> Client:
        made: Any = SimpleNamespace(
            series=SimpleNamespace(upload=self.upload),
            jobs=SimpleNamespace(wait_all=self.wait_all),
            bags=SimpleNamespace(list=self.bags),
        )
        return cast(Client, made)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def encoders(*names: str, digest: str = "d") -> list[Encoder]:
    return [Encoder(name, weights_digest=digest) for name in names]


def embed(server: Server, dataset: Folder, chosen: list[Encoder], cases: Sequence[Case] = CASES) -> Bags:
    folder = server.scratch.parent / "bags"
    return Embedder(server.client, dataset, chosen, folder, scratch=server.scratch).run(cases)


def test_each_case_is_made_once_and_nothing_stays(scratch: Path) -> None:
    server, dataset = Server(scratch), Folder(scratch)
    bags = embed(server, dataset, encoders("a", "b"))
    assert dataset.made == [case.name for case in CASES]
    assert server.sent[:3] == [("case-00", "a", "P0"), ("case-00", "b", "P0"), ("case-01", "a", "P1")]
    assert (bags.sent, len(bags.complete(CASES))) == (40, 20)
    assert server.most_running == IN_FLIGHT + 1
    assert not list(scratch.iterdir())


def test_a_second_run_sends_what_is_missing(scratch: Path) -> None:
    server, dataset = Server(scratch), Folder(scratch)
    embed(server, dataset, encoders("a"))
    server.sent.clear()
    assert embed(server, dataset, encoders("a")).sent == 0
    # Files changed, a bag deleted at the server, and another encoder.
    dataset.marks["case-03"] = "other"
    server.bag_ids.discard("bag a case-05")
    embed(server, dataset, encoders("a"))
    assert [name for name, _, _ in server.sent] == ["case-03", "case-05"]
    server.sent.clear()
    embed(server, dataset, encoders("a", "b"), CASES[:2])
    assert [(name, encoder) for name, encoder, _ in server.sent] == [("case-00", "b"), ("case-01", "b")]
    # Other weights under the same name are another encoder.
    server.sent.clear()
    assert embed(server, dataset, encoders("a", digest="other"), CASES[:2]).sent == 2


def test_an_interrupted_run_goes_on(scratch: Path) -> None:
    server, dataset = Server(scratch, down_after=15), Folder(scratch)
    with pytest.raises(ServerFault):
        embed(server, dataset, encoders("a"))
    assert not list(scratch.iterdir())
    server.down_after, before = 10_000, len(server.sent)
    embed(server, dataset, encoders("a"))
    # What was sent and not yet embedded is asked for again; a service knows it.
    assert len(server.sent) - before <= 20 - before + IN_FLIGHT + 1
    assert len(embed(server, dataset, encoders("a")).complete(CASES)) == 20


def test_one_case_stops_no_other(scratch: Path) -> None:
    server = Server(scratch, refused=frozenset({"case-01"}), failing=frozenset({"b case-02"}))
    bags = embed(server, Folder(scratch, broken=frozenset({"case-00"})), encoders("a", "b"), CASES[:4])
    assert bags.failed == {
        "case-00": "case-00 is damaged.",
        "case-01": "Nothing of it can be taken.",
        "case-02": "Too many slices are damaged.",
    }
    # Encoders are compared on the same cases: one bag of two is not enough.
    assert "case-02" in bags.by_encoder["a"]
    assert [case.name for case in bags.complete(CASES[:4])] == ["case-03"]


def test_scratch_that_is_gone_is_no_case(scratch: Path) -> None:
    server = Server(scratch)
    shutil.rmtree(scratch)
    with pytest.raises(FileNotFoundError):
        embed(server, Folder(scratch), encoders("a"), CASES[:1])
