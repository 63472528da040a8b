"""Which bags an export brings, and what is refused before it begins."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from slicebank_store.pseudonyms import PatientPolicy
from tests.service.exports.reading import unpack
from tests.service.support import ENCODER, Api, Cohort, FakeWorker, MakeFiles, World, assert_problem, make_bags, serving


def ask(api: Api, **body: Any) -> Any:
    return api.post("/v1/exports", json={"layout": "trident", "encoder": ENCODER, **body})


def test_labels_choose_the_bags(cohort: Cohort, tmp_path: Path) -> None:
    bag = cohort.bags[1]
    text = f"series_uid;stage\n{bag.series_uid};II\n1.2.3;I\n"
    response = ask(cohort.api, labels=text)
    assert (response.headers["x-slicebank-bags"], response.headers["x-slicebank-unmatched"]) == ("1", "1")
    out = unpack(response, tmp_path)
    assert out.table("labels.csv") == [{"case_id": bag.patient, "slide_id": bag.series_uid, "stage": "II"}]


def test_labels_by_patient_are_hashed_on_entry(cohort: Cohort, tmp_path: Path) -> None:
    out = unpack(ask(cohort.api, layout="stamp", labels="patient,stage\nP2,II\n"), tmp_path)
    assert out.table("clini.csv") == [{"PATIENT": cohort.bags[2].patient, "stage": "II"}]
    for name in out.names:
        assert b"P2" not in (out.root / name).read_bytes()[:200] or name.endswith(".h5")


def test_a_project_that_keeps_patients_exports_pseudonyms(world: World, make_files: MakeFiles, tmp_path: Path) -> None:
    with serving(world.app(patient_policy=PatientPolicy.KEEP)) as api:
        (bag,) = make_bags(api, FakeWorker(world), make_files, 1)
        assert bag.patient == "P0"
        out = unpack(ask(api, layout="stamp", labels="patient,x\nP0,1\n"), tmp_path)
    ((row,),) = (out.table("clini.csv"),)
    assert len(row["PATIENT"]) == 64
    assert row["PATIENT"] == world.keys.patient("default", "P0")
    assert "P0," not in (out.root / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"encoder": "dummy"}, "nothing_to_export"),
        ({"encoder": "external:nobody"}, "nothing_to_export"),
        ({"recipe_digest": "0" * 64}, "nothing_to_export"),
        ({"labels": "series_uid,x\n1.2.3,1\n"}, "no_label_matches"),
        ({"labels": "colour,x\n1.2.3,1\n"}, "malformed_labels"),
        ({"layout": "slides"}, "invalid_request"),
        ({"attention_of": "head"}, "invalid_request"),
        ({"encoder": "../etc"}, "invalid_request"),
        ({"skip": ["../etc"]}, "invalid_request"),
    ],
)
def test_what_is_refused_before_it_begins(cohort: Cohort, body: dict[str, Any], code: str) -> None:
    assert_problem(ask(cohort.api, **body), 422, code)


def test_refusals_of_names(cohort: Cohort) -> None:
    assert_problem(ask(cohort.api, encoder="nobody"), 404, "unknown_encoder")
    assert_problem(ask(cohort.api, layout="parquet", attention_of="nobody"), 404, "unknown_head")
    labels = f"series_uid,x\n{cohort.bags[0].series_uid},1\n1.2.3,0\n"
    body = assert_problem(ask(cohort.api, labels=labels, strict=True), 422, "some_unmatched")
    assert body["unmatched"] == ["1.2.3"]
    body = assert_problem(
        ask(cohort.api, layout="clear", labels=f"series_uid,x\n{cohort.bags[0].series_uid},maybe\n"),
        422,
        "malformed_labels",
    )
    assert "maybe" in body["detail"]


def test_two_answers_about_a_patient_do_not_fit_into_stamps_table(
    api: Api, worker: FakeWorker, make_files: MakeFiles
) -> None:
    bags = [
        worker.embed(api.upload(make_files(seed, patient_id="P", name=f"n{seed}")).json()["series"][0]["job_id"])
        for seed in range(2)
    ]
    labels = "series_uid,x\n" + "".join(f"{bag.series_uid},{at}\n" for at, bag in enumerate(bags))
    body = assert_problem(ask(api, layout="stamp", labels=labels), 422, "malformed_labels")
    assert "patient" in body["detail"]
    assert ask(api, layout="clam", labels=labels).status_code == 200


def test_what_is_there_already_is_named_and_not_sent(cohort: Cohort, tmp_path: Path) -> None:
    have = cohort.bags[0].bag_id
    out = unpack(ask(cohort.api, layout="clam", skip=[have]), tmp_path)
    assert sum(name.endswith(".pt") for name in out.names) == 3
    assert len(out.table("dataset.csv")) == 4
    assert len(json.loads((out.root / "manifest.json").read_text())["bags"]) == 4


def test_a_bag_that_went_meanwhile_is_left_out_of_files_and_tables(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, tmp_path: Path
) -> None:
    gone, damaged, kept = make_bags(api, worker, make_files, 3)
    world.blobs.delete(gone.blob_key)
    world.blobs.put_bytes(damaged.blob_key, b"no bag")
    out = unpack(ask(api, layout="clam"), tmp_path)
    assert [row["slide_id"] for row in out.table("dataset.csv")] == [kept.series_uid]
    left_out = json.loads((out.root / "manifest.json").read_text())["left_out"]
    assert {item["bag_id"]: item["why"] for item in left_out} == {
        gone.bag_id: "blob_missing",
        damaged.bag_id: "bad_bag",
    }


def test_attention_of_a_head_is_a_column(api: Api, worker: FakeWorker, make_files: MakeFiles, tmp_path: Path) -> None:
    bags = make_bags(api, worker, make_files, 8)
    labels = "series_uid,lesion\n" + "".join(f"{bag.series_uid},{at % 2}\n" for at, bag in enumerate(bags))
    task = {"kind": "binary", "labels": ["lesion"]}
    training = {"folds": 2, "test_fraction": 0.2}
    made = api.post(
        "/v1/heads", json={"name": "h", "encoder": ENCODER, "task": task, "labels": labels, "training": training}
    ).json()
    worker.train(made["job_id"])
    asked = api.post("/v1/heads/h/predictions", json={"bag_id": bags[0].bag_id}, params={"wait": 0}).json()
    worker.predict(asked["job_id"])
    out = unpack(ask(api, layout="parquet", attention_of="h"), tmp_path)
    told = pq.read_table(out.root / "rows" / f"{bags[0].series_uid}.parquet")["attention"].to_pylist()
    assert sum(told) == pytest.approx(1)
    assert told == sorted(told)
    unasked = pq.read_table(out.root / "rows" / f"{bags[1].series_uid}.parquet")["attention"].to_pylist()
    assert unasked == [None] * bags[1].n_rows


def test_an_export_leaves_nothing_behind(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ask(cohort.api, layout="clam").status_code == 200
    assert list(tmp_path.iterdir()) == []
    shutil.rmtree(tmp_path)
