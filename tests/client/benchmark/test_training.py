"""Labels, windows, and which heads are used again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slicebank import BadLabels, Client, Encoder, Head, HeadTraining, InvalidRequest, Job, JobFailed, JobState, NotFound
from slicebank.benchmark.case import Case
from slicebank.benchmark.embedding import Bags
from slicebank.benchmark.ledger import Embedded
from slicebank.benchmark.task_file import BenchmarkTask
from slicebank.benchmark.training import Trainer, label_rows, train_all, windows_of

TASK = BenchmarkTask("own", "Own", "files", "binary", windows=("lung",), training={"folds": 3})
DUMMY = Encoder("dummy", windows=("abdomen", "lung"), weights_digest="d")
ROWS = [{"series_uid": "1.2", "x": "1"}]


def embedded(case: str, *series: str) -> Embedded:
    return Embedded(case, "m", "d", series, tuple(f"bag-{uid}" for uid in series))


BAGS = Bags({"dummy": {"a": embedded("a", "1.1", "1.2"), "b": embedded("b", "1.3")}}, {}, 0)


@dataclass
class Server:
    """Trains in no time."""

    states: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    outcome: str = "ready"

    def train(self, name: str, encoder: str, task: Any, labels: Any, training: Any, **options: Any) -> HeadTraining:
        if labels == "bad":
            raise InvalidRequest("All answers are alike.", status=422, code="one_class_only")
        self.asked.append({"name": name, "encoder": encoder, "training": training, **options})
        head_id = f"head-{len(self.asked)}"
        self.states[head_id] = "training"
        return HeadTraining(head_id, f"job-{len(self.asked)}", unmatched=("1.9",), warnings=("Few cases.",))

    def get(self, head_id: str) -> Head:
        if head_id not in self.states:
            raise NotFound("gone", status=404, code="unknown_head")
        return Head(head_id, state=self.states[head_id], metrics={"warnings": ["Short."], "n_cases": 3})

    def wait(self, job_id: str, on_progress: Any = None) -> None:
        self.states[f"head-{job_id.removeprefix('job-')}"] = self.outcome
        if self.outcome == "failed":
            raise JobFailed("Its loss is not a number.", job=Job(job_id, "train", JobState.FAILED))

    def trainer(self, folder: Path, task: BenchmarkTask = TASK, rows: Any = ROWS) -> Trainer:
        made: Any = SimpleNamespace(
            heads=SimpleNamespace(train=self.train, get=self.get), jobs=SimpleNamespace(wait=self.wait)
        )
        return Trainer(cast(Client, made), task, rows, folder)


def test_rows_are_by_what_labels_belong_to() -> None:
    cases = [Case("a", "P1"), Case("b", "P1")]
    answers = {"a": {"x": "1"}, "b": {"x": "1"}}
    assert [row["series_uid"] for row in label_rows(TASK, cases, BAGS, answers)] == ["1.1", "1.2", "1.3"]
    patients = replace(TASK, key="patient")
    assert label_rows(patients, cases, BAGS, answers) == [{"patient": "P1", "x": "1"}]
    with pytest.raises(BadLabels, match="P1"):
        label_rows(patients, cases, BAGS, {**answers, "b": {"x": "0"}})
    stored = [Case("1.2", "", uid="1.2")]
    assert label_rows(replace(TASK, key="study_uid"), stored, BAGS, {"1.2": {"x": "1"}}) == [
        {"study_uid": "1.2", "x": "1"}
    ]


def test_windows_that_an_encoder_lacks_are_not_asked_for() -> None:
    assert windows_of(TASK, DUMMY) == ("lung",)
    assert windows_of(TASK, Encoder("s", windows=("full",))) == ()
    assert windows_of(TASK, Encoder("scan")) == ()
    assert windows_of(TASK, Encoder("own", windows=({"name": "lung", "low": -1500, "high": 500},))) == ("lung",)


def test_the_same_request_is_asked_once(tmp_path: Path) -> None:
    server = Server()
    found, failed = train_all(server.trainer(tmp_path), [DUMMY], BAGS)
    assert not failed
    assert server.asked == [
        {
            "name": "own.dummy",
            "encoder": "dummy",
            "training": {"folds": 3, "windows": ["lung"]},
            "head": None,
            "protocol": None,
        }
    ]
    assert found["dummy"].warnings == ("Few cases.", "Short.", "1 rows of the labels had no bag.")
    assert not found["dummy"].reused
    again, _ = train_all(server.trainer(tmp_path), [DUMMY], BAGS)
    assert (len(server.asked), again["dummy"].reused) == (1, True)


@pytest.mark.parametrize(
    ("task", "rows", "encoder", "bags"),
    [
        (replace(TASK, training={"folds": 4}), ROWS, DUMMY, BAGS),
        (replace(TASK, protocol={"validation": "nested"}), ROWS, DUMMY, BAGS),
        (replace(TASK, head={"architecture": "mean"}), ROWS, DUMMY, BAGS),
        (replace(TASK, windows=()), ROWS, DUMMY, BAGS),
        (TASK, [{"series_uid": "1.2", "x": "0"}], DUMMY, BAGS),
        (TASK, ROWS, replace(DUMMY, weights_digest="e"), BAGS),
        (TASK, ROWS, DUMMY, Bags({"dummy": {"a": embedded("a", "1.1")}}, {}, 0)),
    ],
)
def test_what_decides_a_head_trains_it_anew(
    tmp_path: Path, task: BenchmarkTask, rows: Any, encoder: Encoder, bags: Bags
) -> None:
    server = Server()
    train_all(server.trainer(tmp_path), [DUMMY], BAGS)
    train_all(server.trainer(tmp_path, task, rows), [encoder], bags)
    assert len(server.asked) == 2


def test_heads_that_failed_or_are_gone_are_trained_again(tmp_path: Path) -> None:
    server = Server(outcome="failed")
    _, failed = train_all(server.trainer(tmp_path), [DUMMY], BAGS)
    assert failed == {"dummy": "Its loss is not a number."}
    server.outcome = "ready"
    found, failed = train_all(server.trainer(tmp_path), [DUMMY], BAGS)
    assert (list(found), failed) == (["dummy"], {})
    server.states.clear()
    assert not train_all(server.trainer(tmp_path), [DUMMY], BAGS)[0]["dummy"].reused


def test_a_refusal_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    found, failed = train_all(Server().trainer(tmp_path, rows="bad"), [DUMMY], BAGS)
    assert (found, failed) == ({}, {"dummy": "All answers are alike."})
