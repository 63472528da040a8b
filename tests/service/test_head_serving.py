"""What is done with trained heads over REST: rolling back, cohorts, studies of several series, every new bag, other cohorts."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from slicebank_store.catalogue import BagRecord
from slicebank_store.catalogue.tables import head_series
from slicebank_store.identity import prediction_id
from slicebank_store.types import JobKind, Priority
from tests.service.support import ENCODER, Api, FakeWorker, MakeFiles, World, assert_problem, make_bags
from tests.service.test_predictions import train


@pytest.fixture
def bags(api: Api, worker: FakeWorker, make_files: MakeFiles) -> list[BagRecord]:
    return make_bags(api, worker, make_files, 4)


def two_series(api: Api, worker: FakeWorker, make_files: MakeFiles) -> tuple[BagRecord, BagRecord]:
    """Two series of one study, the second with more slices."""
    small = api.upload(make_files(30, n_slices=2, patient_id="P30")).json()["series"][0]
    study = small["study_uid"]
    large = api.upload(make_files(31, n_slices=3, patient_id="P30"), study_uid=study).json()["series"][0]
    return worker.embed(small["job_id"]), worker.embed(large["job_id"])


def trained_with(
    api: Api, worker: FakeWorker, bags: list[BagRecord], pooling: str, key: str = "series_uid"
) -> list[Any]:
    """Trains a head with a pooling rule on labels of a kind; gives its cases."""
    names = [str(getattr(bag, key)) for bag in bags]
    labels = [[key, "lesion"], *([name, at % 2] for at, name in enumerate(dict.fromkeys(names)))]
    body = {
        "name": "lesions",
        "encoder": ENCODER,
        "task": {"kind": "binary"},
        "labels": labels,
        "training": {"folds": 2, "test_fraction": 0},
        "protocol": {"pooling": pooling},
    }
    accepted = api.post("/v1/heads", json=body)
    assert accepted.status_code == 202, accepted.text
    cases = api.app.state.context.catalogue.jobs.get("default", accepted.json()["job_id"]).params["cases"]
    worker.train(accepted.json()["job_id"])
    return list(cases)


def test_rolling_back(api: Api, worker: FakeWorker, bags: list[BagRecord]) -> None:
    first, second = train(api, worker, bags), train(api, worker, bags)
    assert_problem(api.post("/v1/heads/lesions/rollback"), 409, "no_earlier_version")
    api.post(f"/v1/heads/{second}/promote")
    assert api.post("/v1/heads/lesions/rollback").json()["head_id"] == first
    head = api.get("/v1/heads/lesions").json()
    assert [(item["version"], item["reason"]) for item in head["promotions"]] == [
        (1, "trained"), (2, "promoted"), (1, "rolled_back"),
    ]  # fmt: skip
    assert (head["head"]["architecture"], head["protocol"]["calibration"]) == ("abmil", "temperature")
    assert_problem(api.post("/v1/heads/nobody/rollback"), 404, "unknown_head")


def test_pooling_decides_what_is_learnt_from(
    api: Api, worker: FakeWorker, make_files: MakeFiles, bags: list[BagRecord]
) -> None:
    small, large = two_series(api, worker, make_files)
    both = sorted([small.bag_id, large.bag_id], key=lambda bag_id: bag_id == large.bag_id)
    cases = {
        pooling: [case["bag_ids"] for case in trained_with(api, worker, [*bags, small], pooling, "study_uid") if case["unit"] == small.study_uid]
        for pooling in ("largest", "mean", "one_bag")
    }  # fmt: skip
    assert cases["largest"] == [[large.bag_id]]
    assert sorted(cases["mean"]) == sorted([bag_id] for bag_id in both)
    assert [set(ids) for ids in cases["one_bag"]] == [set(both)]


@pytest.mark.parametrize("pooling", ["largest", "mean", "one_bag"])
def test_a_study_is_answered_by_the_heads_pooling_rule(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, bags: list[BagRecord], pooling: str
) -> None:
    small, large = two_series(api, worker, make_files)
    trained_with(api, worker, bags, pooling)
    pending = api.post("/v1/heads/lesions/predictions?wait=0", json={"study_uid": small.study_uid}).json()
    job = world.catalogue.jobs.get("default", pending["job_id"])
    assert job is not None
    wanted = [large.bag_id] if pooling == "largest" else [large.bag_id, small.bag_id]
    assert job.params["bag_ids"] == wanted, "that with the most slices comes first"
    assert pending["prediction_id"] == prediction_id("default", pending["head_id"], *wanted)
    words = {"largest": "most slices", "mean": "mean of the answers about the 2 series", "one_bag": "end to end"}
    assert words[pooling] in pending["rule"]


def test_a_cohort_is_a_group(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, bags: list[BagRecord]
) -> None:
    head = train(api, worker, bags)
    coming = api.upload(make_files(40)).json()["series"][0]
    cohort = [
        bags[0].series_uid,
        {"study_uid": bags[1].study_uid},
        {"bag_id": bags[2].bag_id},
        "1.2.3",
        coming["series_uid"],
    ]
    response = api.post("/v1/heads/lesions/predictions", json={"cohort": cohort})
    assert response.status_code == 202
    group = response.json()
    assert (group["cases"], group["progress"]["done"], group["jobs"]["queued"]) == (5, 1, 4)
    assert [(item["case"], item["code"]) for item in group["failures"]] == [(3, "unknown_series")]
    jobs = world.catalogue.jobs.list("default", kind=JobKind.PREDICT).items
    assert {job.priority for job in jobs} == {Priority.BULK}, "nobody at a screen stands behind a cohort"
    by_bag = {job.bag_id: job.job_id for job in jobs}
    for bag in bags[:2]:
        worker.predict(by_bag[bag.bag_id])
    again = api.post("/v1/heads/lesions/predictions", json={"cohort": cohort}).json()
    assert (again["group_id"], again["progress"]["done"]) == (group["group_id"], 3), "asked again, it goes on"
    items = api.get(f"/v1/groups/{group['group_id']}/predictions").json()["items"]
    assert [item["state"] for item in items] == ["succeeded", "succeeded", "queued", "failed", "queued"]
    assert items[0]["outputs"][0]["probability"] == 0.75
    assert "There is no series" in items[3]["error"]["detail"]
    response = api.get(f"/v1/groups/{group['group_id']}/predictions.csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["lesion_probability"] for row in rows] == ["0.75", "0.75", "", "", ""]
    assert (rows[3]["error"], rows[0]["series_uid"]) == ("unknown_series", bags[0].series_uid)
    assert "lesion_raw_probability" not in rows[0], "nothing is calibrated"
    other = api.post(f"/v1/heads/{head}/predictions", json={"cohort": cohort[:2]}).json()
    assert (other["state"], other["jobs"]["succeeded"]) == ("finished", 2), "what is known is not computed again"
    assert_problem(api.get("/v1/groups/nobody/predictions.csv"), 404, "unknown_group")


def test_a_bag_of_another_recipe_is_refused_by_what_differs(
    api: Api, worker: FakeWorker, make_files: MakeFiles, bags: list[BagRecord]
) -> None:
    train(api, worker, bags)
    other = api.upload(make_files(22), encoder="dummy").json()["series"][0]
    response = api.post("/v1/heads/lesions/predictions", json={"bag_id": other["bag_id"]})
    detail = assert_problem(response, 409, "recipe_mismatch")["detail"]
    assert f"encoder dummy, not {ENCODER}" in detail
    assert "precision" not in detail, "only what differs is named"


def test_heads_of_every_new_bag(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, bags: list[BagRecord]
) -> None:
    head = train(api, worker, bags)
    assert api.get("/v1/on_embedded").json() == {"items": []}
    named = api.request("PUT", "/v1/on_embedded", json={"heads": ["lesions"]}).json()["items"]
    assert named == [{"head": "lesions", "head_id": head, "version": 1, "encoder": ENCODER}]
    assert_problem(api.request("PUT", "/v1/on_embedded", json={"heads": ["nobody"]}), 404, "unknown_head")
    upload = api.upload(make_files(50)).json()["series"][0]
    worker.embed(upload["job_id"])
    (job,) = world.catalogue.jobs.list("default", kind=JobKind.PREDICT).items
    worker.predict(job.job_id)
    answer = api.post("/v1/heads/lesions/predictions", json={"series_uid": upload["series_uid"]})
    assert answer.status_code == 200, "it was answered before anybody asked"
    assert api.request("PUT", "/v1/on_embedded", json={"heads": []}).json() == {"items": []}


def evaluate(api: Api, bags: list[BagRecord], **changed: Any) -> Any:
    labels = [["series_uid", "lesion"], *([bag.series_uid, at % 2] for at, bag in enumerate(bags))]
    return api.post("/v1/heads/lesions/evaluations", json={"labels": labels, "name": "elsewhere", **changed})


def test_external_validation_leaves_out_whom_the_head_has_learnt_from(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, bags: list[BagRecord]
) -> None:
    head = train(api, worker, bags[:4])
    uploads = [api.upload(make_files(60 + at, patient_id=f"Q{at}")).json()["series"][0] for at in range(2)]
    new = [worker.embed(upload["job_id"]) for upload in uploads]
    learnt = [row for row in bags if row.patient in world.catalogue.heads.learnt_patients("default", head)[1]]
    assert len(learnt) == 3, "of the held-out test patient it has not learnt"
    accepted = evaluate(api, [*bags, *new])
    assert accepted.status_code == 202
    body = accepted.json()
    assert (body["n_cases"], body["leakage"]) == (3, {"left_out": 3, "patients": 3})
    assert "learnt from are left out" in body["warnings"][0]
    job = world.catalogue.jobs.get("default", body["job_id"])
    assert job is not None
    assert (job.kind, job.kind.queue) == (JobKind.EVALUATE, "train")
    (listed,) = api.get("/v1/heads/lesions/evaluations").json()["items"]
    assert (listed["name"], listed["state"], listed["metrics"]) == ("elsewhere", "queued", None)
    kept = evaluate(api, [*bags, *new], keep_learnt=True).json()
    assert (kept["n_cases"], kept["leakage"]["left_out"]) == (6, 0)
    assert "flatter" in kept["warnings"][0]
    assert "has learnt from every patient" in assert_problem(evaluate(api, learnt), 422, "learnt_from")["detail"]
    assert_problem(api.get("/v1/evaluations/nobody"), 404, "unknown_evaluation")
    wrong = api.post("/v1/heads/lesions/evaluations", json={"labels": f"series_uid,other\n{new[0].series_uid},1\n"})
    assert_problem(wrong, 422, "bad_task")


def test_what_a_head_has_learnt_from_is_noted_by_patient(
    api: Api, world: World, worker: FakeWorker, bags: list[BagRecord]
) -> None:
    train(api, worker, bags)
    with world.catalogue._database.read() as connection:
        rows = connection.execute(head_series.select()).all()
    assert {(row.series_uid, row.patient) for row in rows} == {(bag.series_uid, bag.patient) for bag in bags}
