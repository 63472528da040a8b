"""Heads at work: several series of a study, other cohorts, every new bag; real runners on a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicebank_models.heads.answers import HeadPrediction, Output
from slicebank_models.heads.spec import TaskKind
from slicebank_store.identity import prediction_id
from slicebank_store.types import JobKind, JobState
from slicebank_worker.jobs.head_answers import averaged
from slicebank_worker.jobs.predict import Predictor
from tests.worker.conftest import Workshop
from tests.worker.test_jobs import phantom


def bags_of(workshop: Workshop, folder: Path, count: int, first: int = 0, **query: Any) -> list[dict[str, Any]]:
    uploads = [
        workshop.upload(phantom(folder, seed, n_slices=3, patient=f"P{seed}"), encoder="dummy", **query)
        for seed in range(first, first + count)
    ]
    for series in uploads:
        workshop.run(series["job_id"])
    return uploads


def train(workshop: Workshop, uploads: list[dict[str, Any]], **protocol: Any) -> str:
    body = {
        "name": "odd",
        "encoder": "dummy",
        "task": {"kind": "binary"},
        "labels": [["series_uid", "odd"], *([series["series_uid"], at % 2] for at, series in enumerate(uploads))],
        "training": {"folds": 2, "max_epochs": 1, "test_fraction": 0.2},
        "protocol": {"bootstrap": 0, "calibration": "none", **protocol},
    }
    asked = workshop.api.post("/v1/heads", json=body).json()
    job = workshop.run(asked["job_id"])
    assert job.state is JobState.SUCCEEDED, job.error_detail
    return str(asked["head_id"])


def ask(workshop: Workshop, **wanted: Any) -> dict[str, Any]:
    pending = workshop.api.post("/v1/heads/odd/predictions?wait=0", json=wanted)
    if pending.status_code == 202:
        job = workshop.run(pending.json()["job_id"])
        assert job.state is JobState.SUCCEEDED, job.error_detail
    answer: dict[str, Any] = workshop.api.post("/v1/heads/odd/predictions", json=wanted).json()
    return answer


def test_a_prediction_says_whether_the_head_has_learnt_from_the_patient(workshop: Workshop, tmp_path: Path) -> None:
    uploads = bags_of(workshop, tmp_path, 10)
    train(workshop, uploads)
    held_out = set(workshop.api.get("/v1/heads/odd/splits.json").json()["test"])
    assert len(held_out) == 2
    for series in [*uploads, *bags_of(workshop, tmp_path, 1, 40)]:
        answer = ask(workshop, series_uid=series["series_uid"])
        bag = workshop.world.catalogue.bags.get("default", answer["bag_id"])
        assert bag is not None
        assert answer["in_training"] is (bag.patient not in held_out and series in uploads)
        assert answer["outputs"][0]["calibrated"] is False
        assert answer["series"] == [{"series_uid": bag.series_uid, "bag_id": bag.bag_id, "n_rows": 6}]
        for part in ("rows", "slices"):
            shares = [item["percentile"] for item in answer["attention"][part]]
            assert sum(shares) / len(shares) == pytest.approx(50)


@pytest.mark.parametrize("pooling", ["mean", "one_bag"])
def test_a_study_of_several_series(workshop: Workshop, tmp_path: Path, pooling: str) -> None:
    train(workshop, bags_of(workshop, tmp_path, 10), pooling=pooling)
    one = bags_of(workshop, tmp_path, 1, 30)[0]
    two = bags_of(workshop, tmp_path, 1, 31, study_uid=one["study_uid"])[0]
    answer = ask(workshop, study_uid=one["study_uid"])
    assert {item["series_uid"] for item in answer["series"]} == {one["series_uid"], two["series_uid"]}
    rows = answer["attention"]["rows"]
    assert len(rows) == 12
    assert sum(row["weight"] for row in rows) == pytest.approx(1)
    assert {item["rank"] for item in answer["attention"]["slices"]} == set(range(1, 7))
    alone = [ask(workshop, series_uid=series["series_uid"])["outputs"][0]["probability"] for series in (one, two)]
    mean = sum(alone) / 2
    if pooling == "mean":
        assert answer["outputs"][0]["probability"] == pytest.approx(mean)
        share = sum(row["weight"] for row in rows if row["series_uid"] == one["series_uid"])
        assert share == pytest.approx(0.5), "each series has the same share of the attention"
    else:
        assert answer["outputs"][0]["probability"] != pytest.approx(mean, abs=1e-12)
    assert answer["rule"].startswith("the mean of" if pooling == "mean" else "the rows of")
    assert workshop.api.delete(f"/v1/bags/{two['bag_id']}").status_code == 204
    assert workshop.api.get(f"/v1/predictions/{answer['prediction_id']}").status_code == 404


def test_external_validation(workshop: Workshop, tmp_path: Path) -> None:
    known = bags_of(workshop, tmp_path, 10)
    train(workshop, known)
    new = bags_of(workshop, tmp_path, 6, 50)
    labels = [["series_uid", "odd"], *([series["series_uid"], at % 2] for at, series in enumerate([*known, *new]))]
    asked = workshop.api.post("/v1/heads/odd/evaluations", json={"labels": labels, "bootstrap": 50}).json()
    assert (asked["n_cases"], asked["leakage"]["left_out"]) == (8, 8), "two were held out for testing"
    job = workshop.run(asked["job_id"])
    assert (job.state, job.progress_done, job.progress_unit) == (JobState.SUCCEEDED, 8, "cases"), job.error_detail
    found = workshop.api.get(f"/v1/evaluations/{asked['evaluation_id']}").json()
    assert found["state"] == "succeeded"
    assert 0 <= found["metrics"]["auroc"] <= 1
    low, high = found["metrics"]["intervals"]["auroc"]
    assert low <= found["metrics"]["auroc"] <= high
    assert len(found["predictions"]) == 8
    (listed,) = workshop.api.get("/v1/heads/odd/evaluations").json()["items"]
    assert listed["metrics"] == found["metrics"]
    head = workshop.api.get("/v1/heads/odd").json()
    assert head["state"] == "ready"


def test_heads_answer_about_every_new_bag(workshop: Workshop, tmp_path: Path) -> None:
    train(workshop, bags_of(workshop, tmp_path, 10))
    workshop.api.request("PUT", "/v1/on_embedded", json={"heads": ["odd"]})
    (series,) = bags_of(workshop, tmp_path, 1, 60)
    (job,) = workshop.world.catalogue.jobs.list("default", kind=JobKind.PREDICT).items
    assert workshop.run(job.job_id).state is JobState.SUCCEEDED
    answer = workshop.api.post("/v1/heads/odd/predictions", json={"bag_id": series["bag_id"]})
    assert answer.status_code == 200


def test_several_answers_are_averaged_in_probability() -> None:
    one = HeadPrediction((Output("a", 0.2, -1.386, 0.1),), np.array([1.0]), np.array([2.0]))
    two = HeadPrediction((Output("a", 0.6, 0.405, 0.3),), np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    found = averaged(TaskKind.BINARY, [one, two])
    assert found.outputs[0].probability == pytest.approx(0.4)
    assert found.outputs[0].logit == pytest.approx(np.log(0.4 / 0.6))
    assert found.outputs[0].fold_std == pytest.approx(0.2)
    assert found.attention.tolist() == [0.5, 0.25, 0.25]
    values = [
        HeadPrediction((Output("a", None, None, 0.0, value=value),), one.attention, one.attention)
        for value in (1.0, 3.0)
    ]
    assert averaged(TaskKind.SURVIVAL, values).outputs[0].value == 2.0
    assert averaged(TaskKind.MULTICLASS, [one, two]).outputs[0].logit == pytest.approx(np.log(0.4))


def test_a_question_put_straight_is_answered_as_by_a_job(workshop: Workshop, tmp_path: Path) -> None:
    uploads = bags_of(workshop, tmp_path, 8)
    head_id = train(workshop, uploads)
    by_job = ask(workshop, series_uid=uploads[0]["series_uid"])
    predictor = Predictor(workshop.runtime)
    series = bags_of(workshop, tmp_path, 1, 40)[0]
    question = {
        "project": "default",
        "prediction_id": prediction_id("default", head_id, series["bag_id"]),
        "head_id": head_id,
        "bag_ids": [series["bag_id"]],
        "rule": None,
    }
    told = predictor.answer(question)
    assert set(told) == {"read_s", "predict_s", "tell_s", "store_s"}
    known = workshop.api.post("/v1/heads/odd/predictions", json={"series_uid": series["series_uid"]})
    assert known.status_code == 200, "found, without a job"
    assert set(known.json()) == set(by_job)
    assert workshop.world.catalogue.jobs.latest_for_prediction("default", question["prediction_id"]) is None
    assert predictor.answer(question), "asked twice, answered twice, written once"
    again = {**question, "bag_ids": [uploads[0]["bag_id"]], "prediction_id": by_job["prediction_id"]}
    predictor.answer(again)
    assert ask(workshop, series_uid=uploads[0]["series_uid"]) == by_job


def test_a_question_that_cannot_be_answered_is_left_to_a_job(workshop: Workshop, tmp_path: Path) -> None:
    uploads = bags_of(workshop, tmp_path, 8)
    head_id = train(workshop, uploads)
    predictor = Predictor(workshop.runtime)
    asked = {"project": "default", "prediction_id": "p", "head_id": head_id, "bag_ids": ["gone"], "rule": None}
    assert predictor.answer(asked) == {}
    assert predictor.answer({**asked, "head_id": "gone"}) == {}
    assert predictor.answer({"nothing": 1}) == {}
    assert workshop.world.catalogue.predictions.get("default", "p") is None
