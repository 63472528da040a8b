from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from slicebank_store.catalogue import BagRecord
from slicebank_store.types import JobKind
from tests.service import support
from tests.service.support import ENCODER, Api, Cohort, FakeWorker, MakeFiles, World, assert_problem

MakeBags = Callable[[int], list[BagRecord]]

BINARY = {"kind": "binary"}
SMALL = {"folds": 2, "test_fraction": 0}


@pytest.fixture
def make_bags(api: Api, worker: FakeWorker, make_files: MakeFiles) -> MakeBags:
    return partial(support.make_bags, api, worker, make_files)


def train(api: Api, labels: Any, **changed: Any) -> Any:
    body = {"name": "lesions", "encoder": ENCODER, "task": BINARY, "labels": labels, "training": SMALL, **changed}
    # ASCII, so that a lone surrogate can be sent.
    return api.post("/v1/heads", content=json.dumps(body), headers={"Content-Type": "application/json"})


def table(bags: list[BagRecord]) -> str:
    return "series_uid,lesion\n" + "".join(f"{bag.series_uid},{index % 2}\n" for index, bag in enumerate(bags))


def test_a_head_is_trained_on_stored_bags(api: Api, world: World, make_bags: MakeBags) -> None:
    bags = make_bags(4)
    response = train(api, table(bags) + "1.2.3,1\n")
    assert response.status_code == 202
    accepted = response.json()
    assert (accepted["unmatched"], accepted["n_cases"], accepted["version"]) == (["1.2.3"], 4, 1)
    assert (world.queue.sent[-1][0], world.queue.sent[-1][1]) == (JobKind.TRAIN, accepted["job_id"])
    job = world.catalogue.jobs.get("default", accepted["job_id"])
    assert job is not None
    assert job.params == {
        "name": "lesions",
        "task": {"kind": "binary", "labels": ["lesion"]},
        "training": {**job.params["training"], "folds": 2, "lr": 1e-4},
        "head": {**job.params["head"], "architecture": "abmil", "width": 256},
        "protocol": {**job.params["protocol"], "pooling": "largest", "calibration": "temperature", "splits": None},
        "cases": [
            {
                "bag_ids": [bag.bag_id],
                "patient": bag.patient,
                "target": [bags.index(bag) % 2],
                "unit": bag.series_uid,
                "site": "",
            }
            for bag in sorted(bags, key=lambda bag: bag.series_uid)
        ],
        "encoder": ENCODER,
        "recipe_digest": bags[0].recipe_digest,
        "level": "slice",
        "dim": bags[0].dim,
        "windows": [window["name"] for window in bags[0].windows],
    }
    head = api.get("/v1/heads/lesions").json()
    assert (head["head_id"], head["state"], head["promoted"]) == (accepted["head_id"], "training", False)


@pytest.mark.parametrize("key", ["study_uid", "patient"])
def test_labels_by_study_and_patient(api: Api, world: World, make_bags: MakeBags, key: str) -> None:
    bags = make_bags(4)
    names = [f"P{seed}" for seed in range(4)] if key == "patient" else [bag.study_uid for bag in bags]
    rows = [{key: name, "lesion": index < 2} for index, name in enumerate(names)]
    accepted = train(api, [*rows, {key: "Nobody", "lesion": 1}]).json()
    assert accepted["unmatched"] == ["Nobody"]
    job = world.catalogue.jobs.get("default", accepted["job_id"])
    assert job is not None
    expected = {bag.bag_id: [int(index < 2)] for index, bag in enumerate(bags)}
    assert {case["bag_ids"][0]: case["target"] for case in job.params["cases"]} == expected
    assert "P0" not in str(job.params), "patients are hashed on entry"


def test_a_study_means_its_largest_series(
    api: Api, worker: FakeWorker, make_files: MakeFiles, make_bags: MakeBags
) -> None:
    bags = make_bags(3)
    small = api.upload(make_files(9, n_slices=1, patient_id="P9")).json()["series"][0]
    large = api.upload(make_files(8, n_slices=3, patient_id="P8"), study_uid=small["study_uid"]).json()["series"][0]
    worker.embed(small["job_id"])
    worker.embed(large["job_id"])
    rows = [["study_uid", "x"], [small["study_uid"], 1], *([bag.study_uid, i % 2] for i, bag in enumerate(bags))]
    response = train(api, rows)
    cases = api.app.state.context.catalogue.jobs.get("default", response.json()["job_id"]).params["cases"]
    assert [large["bag_id"]] in [case["bag_ids"] for case in cases]
    assert small["bag_id"] not in {bag_id for case in cases for bag_id in case["bag_ids"]}


def test_multilabel_and_multiclass(api: Api, world: World, make_bags: MakeBags) -> None:
    bags = make_bags(4)
    multi = "series_uid;a;b\n" + "".join(f"{bag.series_uid};{i % 2};{i // 2}\n" for i, bag in enumerate(bags))
    accepted = train(api, multi, task={"kind": "multilabel"}).json()
    job = world.catalogue.jobs.get("default", accepted["job_id"])
    assert job is not None
    assert job.params["task"] == {"kind": "multilabel", "labels": ["a", "b"]}
    classes = "series_uid\tstage\n" + "".join(f"{bag.series_uid}\t{'I' * (1 + i % 2)}\n" for i, bag in enumerate(bags))
    accepted = train(api, classes, task={"kind": "multiclass", "labels": ["I", "II"]}).json()
    job = world.catalogue.jobs.get("default", accepted["job_id"])
    assert job is not None
    assert sorted(case["target"] for case in job.params["cases"]) == [[0], [0], [1], [1]]
    assert accepted["version"] == 2


@pytest.mark.parametrize(
    ("labels", "changed", "status", "code"),
    [
        ("", {}, 422, "malformed_labels"),
        ("series_uid,lesion\n", {}, 422, "malformed_labels"),
        ("name,lesion\nJane,1\n", {}, 422, "malformed_labels"),
        ("series_uid,lesion\n1.2.3,1,1\n", {}, 422, "malformed_labels"),
        ('series_uid,lesion\n"1.2.3,1\n', {}, 422, "malformed_labels"),
        ("series_uid,lesion\n1.2.3,maybe\n", {}, 422, "malformed_labels"),
        ("series_uid,lesion\n1.2\ud800,1\n", {}, 422, "malformed_labels"),
        ("series_uid,lesion\n1.2\0,1\n", {}, 422, "malformed_labels"),
        ([], {}, 422, "malformed_labels"),
        ([["series_uid", "x"], {"series_uid": "1"}], {}, 422, "invalid_request"),
        ([["series_uid", "x"], ["1.2", {"a": 1}]], {}, 422, "malformed_labels"),
        ([{"series_uid": "1.2", "x": [1]}], {}, 422, "malformed_labels"),
        ([[]], {}, 422, "malformed_labels"),
        ([{}], {}, 422, "malformed_labels"),
        ([[1], [2]], {}, 422, "malformed_labels"),
        ([{"a": 1}], {}, 422, "malformed_labels"),
        ({"a": 1}, {}, 422, "invalid_request"),
        ("ALL-SAME", {}, 422, "one_class_only"),
        ("series_uid,lesion\n1.2.3,1\n1.2.4,0\n", {}, 422, "no_label_matches"),
        ("patient,lesion\nJane,1\nJim,0\n", {}, 422, "no_label_matches"),
        ("GOOD", {"training": {"learning_rate": 1}}, 422, "unknown_training_key"),
        ("GOOD", {"training": {"lr": "fast"}}, 422, "bad_training_value"),
        ("GOOD", {"training": {"windows": ["attic"]}}, 422, "bad_training_value"),
        ("GOOD", {"training": {"lr": 10**400}}, 422, "bad_training_value"),
        ("GOOD", {"training": {"folds": [[]]}}, 422, "bad_training_value"),
        ("GOOD", {"training": {"windows": ["\ud800"]}}, 422, "bad_training_value"),
        ("GOOD", {"training": {"\ud800": 1}}, 422, "unknown_training_key"),
        ("GOOD", {"task": {"kind": "binary", "\ud800": 1}}, 422, "bad_task"),
        ("GOOD", {"task": {"kind": "binary", "labels": 5}}, 422, "bad_task"),
        ("GOOD", {"task": {"kind": "binary", "labels": {"lesion": 1}}}, 422, "bad_task"),
        ("GOOD", {"\ud800": 1}, 422, "invalid_request"),
        ("GOOD", {"training": {"folds": 20}}, 422, "too_few_patients"),
        ("GOOD", {"task": {"kind": "survival"}}, 422, "bad_task"),
        ("GOOD", {"head": {"architecture": "oracle"}}, 422, "bad_training_value"),
        ("GOOD", {"head": {"depth": 3}}, 422, "unknown_training_key"),
        ("GOOD", {"protocol": {"pooling": "median"}}, 422, "bad_training_value"),
        ("GOOD", {"protocol": {"site_column": "hospital"}}, 422, "bad_training_value"),
        ("GOOD", {"protocol": {"splits": {"a": 1}}}, 422, "bad_splits"),
        ("GOOD", {"encoder": "external:nobody"}, 422, "no_label_matches"),
        ("GOOD", {"task": {}}, 422, "bad_task"),
        ("GOOD", {"task": {"kind": "binary", "labels": ["other"]}}, 422, "bad_task"),
        ("GOOD", {"task": {"kind": "binary", "labels": ["a\x00b"]}}, 422, "bad_task"),
        ("GOOD", {"encoder": "nobody"}, 404, "unknown_encoder"),
        ("GOOD", {"name": "../x"}, 422, "invalid_request"),
        ("GOOD", {"name": "0" * 32}, 422, "bad_key"),
        ("GOOD", {"colour": "red"}, 422, "invalid_request"),
        ("GOOD+UNMATCHED", {"strict": True}, 422, "some_unmatched"),
    ],
)
def test_labels_and_settings_that_cannot_be_trained_on(
    cohort: Cohort, labels: Any, changed: dict[str, Any], status: int, code: str
) -> None:
    api, bags = cohort.api, cohort.bags
    known = {
        "GOOD": table(bags),
        "ALL-SAME": table(bags).replace(",0\n", ",1\n"),
        "GOOD+UNMATCHED": table(bags) + "1.2.3,1\n",
    }
    labels = known.get(labels, labels) if isinstance(labels, str) else labels
    assert_problem(train(api, labels, **changed), status, code)
    assert api.get("/v1/jobs", params={"kind": "train"}).json()["items"] == []
    assert api.get("/v1/heads").json()["items"] == []


def test_versions_promotion_and_removal(api: Api, world: World, worker: FakeWorker, make_bags: MakeBags) -> None:
    bags = make_bags(4)
    first, second, third = (train(api, table(bags)).json() for _ in range(3))
    assert_problem(api.post(f"/v1/heads/{first['head_id']}/promote"), 409, "not_promotable")
    worker.train(first["job_id"])
    worker.train(second["job_id"])
    head = api.get("/v1/heads/lesions").json()
    assert (head["head_id"], head["metrics"]) == (first["head_id"], {"mean": {"auroc": 0.5}})
    assert [(item["version"], item["state"]) for item in head["versions"]] == [
        (3, "training"),
        (2, "ready"),
        (1, "ready"),
    ]
    assert api.post(f"/v1/heads/{second['head_id']}/promote").json()["promoted"]
    assert api.get("/v1/heads/lesions").json()["head_id"] == second["head_id"]
    assert [item["version"] for item in api.get("/v1/heads", params={"state": "ready"}).json()["items"]] == [2, 1]
    assert api.delete(f"/v1/heads/{second['head_id']}").status_code == 204
    assert api.get("/v1/heads/lesions").json()["head_id"] == first["head_id"]
    for _ in range(2):
        assert api.delete("/v1/heads/lesions").status_code == 204
    assert_problem(api.get("/v1/heads/lesions"), 404, "unknown_head")
    assert api.get(f"/v1/jobs/{third['job_id']}").json()["state"] == "cancelled"
    assert not any("/heads/" in key for key in world.blobs.keys())  # noqa: SIM118 - a method of blobs


def test_tables_of_a_head(api: Api, worker: FakeWorker, make_bags: MakeBags) -> None:
    bags = make_bags(4)
    accepted = train(api, table(bags)).json()
    assert_problem(api.get("/v1/heads/lesions/predictions.csv"), 409, "head_not_ready")
    assert_problem(api.get("/v1/heads/lesions/splits.json"), 409, "head_not_ready")
    worker.train(accepted["job_id"])
    response = api.get("/v1/heads/lesions/predictions.csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert response.headers["content-type"].startswith("text/csv")
    stamp = ["PATIENT", "lesion", "pred", "lesion_0", "lesion_1", "loss"]
    assert list(rows[0]) == [*stamp, "fold", "repeat", "unit", "series_uid"]
    assert [row["fold"] for row in rows] == ["0", "1", "0", "test"]
    assert api.get("/v1/heads/lesions/splits.json").json().keys() == {"test", "folds", "splits"}


def test_a_head_outlives_the_series_it_learnt_from(api: Api, worker: FakeWorker, make_bags: MakeBags) -> None:
    bags = make_bags(4)
    worker.train(train(api, table(bags)).json()["job_id"])
    api.delete(f"/v1/series/{bags[0].series_uid}")
    assert api.get("/v1/heads/lesions").json()["training_data_deleted"]
