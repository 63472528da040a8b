"""Labels that nothing can be learnt from: each ends in a sentence that says what to fix, and no job or head is made."""

from __future__ import annotations

import math
from typing import Any

import pytest

from slicebank_store.catalogue import BagRecord
from slicebank_store.catalogue.tables import bags as bags_table
from tests.service.support import ENCODER, Api, Cohort, FakeWorker, MakeFiles, World, assert_problem, make_bags

SMALL = {"folds": 2, "test_fraction": 0}


def train(api: Api, labels: Any, task: dict[str, Any] | None = None, **changed: Any) -> Any:
    body = {"name": "n", "encoder": ENCODER, "task": task or {"kind": "binary"}, "labels": labels, "training": SMALL}
    return api.post("/v1/heads", json={**body, **changed})


def refused(api: Api, labels: Any, code: str, *words: str, **changed: Any) -> str:
    """Asserts a refusal before anything was made, with these words in its sentence; gives the sentence."""
    body = assert_problem(train(api, labels, **changed), 422, code)
    detail = str(body["detail"])
    assert all(word in detail for word in words), detail
    assert api.get("/v1/jobs", params={"kind": "train"}).json()["items"] == []
    assert api.get("/v1/heads").json()["items"] == []
    return detail


def rows(bags: list[BagRecord], *answers: Any, column: str = "lesion") -> str:
    lines = [f"{bag.series_uid},{answer}\n" for bag, answer in zip(bags, answers, strict=False)]
    return f"series_uid,{column}\n" + "".join(lines)


def test_nothing_matches(cohort: Cohort) -> None:
    labels = "series_uid,lesion\n1.2.3,1\n1.2.4,0\n"
    refused(cohort.api, labels, "no_label_matches", "none of the 2 rows", "upload the series first", "first column")
    # The right names in the wrong column.
    wrong = "patient,lesion\n" + "".join(f"{bag.series_uid},{at % 2}\n" for at, bag in enumerate(cohort.bags))
    refused(cohort.api, wrong, "no_label_matches", "holds what its name says (patient)")


def test_one_unknown_series_is_refused_if_that_is_asked_for(cohort: Cohort) -> None:
    labels = rows(cohort.bags, 0, 1, 0, 1) + "1.2.3,1\n"
    refused(cohort.api, labels, "some_unmatched", "1.2.3", "leave out strict", strict=True)


def test_a_row_without_a_label_is_refused_if_every_row_shall_count(cohort: Cohort) -> None:
    labels = rows(cohort.bags, 0, 1, "", 1)
    refused(cohort.api, labels, "malformed_labels", "1 rows", cohort.bags[2].series_uid, "fill them in", strict=True)


@pytest.mark.parametrize("second", ["P0", " P0 "])
def test_a_patient_with_two_labels(cohort: Cohort, second: str) -> None:
    labels = f"patient,lesion\nP0,1\nP1,0\n{second},0\n"
    refused(cohort.api, labels, "malformed_labels", "line 4", "line 2", "keep one of the two")


def test_a_patient_by_name_and_by_pseudonym_with_two_labels(cohort: Cohort) -> None:
    labels = f"patient,lesion\nP0,1\nP1,0\n{cohort.bags[0].patient},0\n"
    refused(cohort.api, labels, "malformed_labels", "'P0'", "mean the same patient", "keep one of the two")


@pytest.mark.parametrize(
    ("task", "answers", "words"),
    [
        ("binary", (1, 1, 1, 1), ("'lesion' is 1 in every case", "both kinds")),
        ("multiclass", ("II", "II", "II", "II"), ("one class", "at least two")),
        ("regression", (7, 7, 7, 7), ("'lesion' is 7 in every case", "different numbers")),
    ],
)
def test_one_class(cohort: Cohort, task: str, answers: tuple[Any, ...], words: tuple[str, ...]) -> None:
    refused(cohort.api, rows(cohort.bags, *answers), "one_class_only", *words, task={"kind": task})


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_nothing_but_nan(cohort: Cohort, task: str) -> None:
    words = ("No case has a known label", "Fill in the labels")
    refused(cohort.api, rows(cohort.bags, *["NaN"] * 4), "no_cases", *words, task={"kind": task})


def test_nan_among_labels_is_said(cohort: Cohort) -> None:
    api, bags = cohort.api, cohort.bags
    assert_problem(train(api, rows(bags, "inf", 1, 2, 3), {"kind": "regression"}), 422, "malformed_labels")
    missing = [{"series_uid": bag.series_uid, "lesion": answer} for bag, answer in zip(bags, (0, 1, 0), strict=False)]
    body = {"name": "n", "encoder": ENCODER, "task": {"kind": "binary"}, "training": SMALL, "strict": True}
    response = api.post("/v1/heads", json={**body, "labels": [*missing, {"series_uid": bags[3].series_uid}]})
    assert "have no label" in assert_problem(response, 422, "malformed_labels")["detail"]
    # What pandas makes of an empty cell; JSON has no such number, but Python writes and many read it.
    text = '{"series_uid": "1.2.3", "lesion": NaN}'
    response = api.post(
        "/v1/heads",
        content=f'{{"name": "n", "encoder": "{ENCODER}", "task": {{"kind": "binary"}}, "labels": [{text}]}}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 422
    assert math.isnan(float("nan"))


def test_the_wrong_column(cohort: Cohort) -> None:
    labels = rows(cohort.bags, 0, 1, 0, 1, column="nodule")
    task = {"kind": "binary", "labels": ["lesion"]}
    refused(cohort.api, labels, "bad_task", "no column lesion", "it has nodule", task=task)
    nameless = labels.replace("series_uid,", "SeriesInstanceUID,")
    refused(cohort.api, nameless, "malformed_labels", "the first column", "series_uid, study_uid, patient")
    sites = {"site_column": "hospital"}
    refused(cohort.api, labels, "bad_training_value", "'hospital'", "they have nodule", protocol=sites)


@pytest.mark.parametrize("date", ["02-Jan", "Jan-02", "2026-01-02", "2026-01-02 00:00:00", "1/2/2026"])
def test_a_date_that_a_spreadsheet_made_of_a_label(cohort: Cohort, date: str) -> None:
    for task in ("binary", "multiclass", "regression"):
        labels = rows(cohort.bags, date, 1, 0, 1)
        refused(cohort.api, labels, "malformed_labels", date, "as text", task={"kind": task})


@pytest.mark.parametrize(
    ("name", "words"), [("02-Jan", "date"), ("1.2E+15", "rounded"), ("1,23457E+18", "rounded"), ("1/2/2026", "date")]
)
def test_names_that_a_spreadsheet_has_changed(cohort: Cohort, name: str, words: str) -> None:
    labels = f"patient;lesion\n{name};1\nJim;0\n"
    refused(cohort.api, labels, "no_label_matches", words, "as text")


def test_a_byte_order_mark_and_semicolons_do_no_harm(cohort: Cohort) -> None:
    """Where such a table is wrong, it is for what it says and not for how it was saved."""
    good = rows(cohort.bags, 0, 1, 0, 1).replace(",", ";").replace("\n", "\r\n")
    refused(cohort.api, "\ufeff" + good.replace("series_uid", "name"), "malformed_labels", "the first column")
    refused(cohort.api, "\ufeff" + good.replace(";1", ";1;1", 1), "malformed_labels", "line 3", "3 cells")
    commas = "\ufeff" + good.replace(";1", ";1,5")
    refused(cohort.api, commas, "malformed_labels", "1,5", "point", task={"kind": "regression"})
    # UTF-16, as some spreadsheets save "Unicode text", read as if it were UTF-8.
    sixteen = good.encode("utf-16").decode("utf-8", errors="replace")
    refused(cohort.api, sixteen, "malformed_labels", "UTF-8")
    refused(cohort.api, "\ufeff" + good, "too_few_patients", training={**SMALL, "folds": 5})


def test_fewer_patients_than_folds(cohort: Cohort) -> None:
    words = ("4 patients", "5 folds", "lower folds")
    refused(cohort.api, rows(cohort.bags, 0, 1, 0, 1), "too_few_patients", *words, training={**SMALL, "folds": 5})
    held = {"folds": 4, "test_fraction": 0.25}
    refused(cohort.api, rows(cohort.bags, 0, 1, 0, 1), "too_few_patients", "held out for testing", training=held)


def test_every_bag_is_missing(api: Api, worker: FakeWorker, make_files: MakeFiles) -> None:
    bags = make_bags(api, worker, make_files, 2)
    for bag in bags:
        assert api.delete(f"/v1/bags/{bag.bag_id}").status_code == 204
    words = ("none of the 2 rows", "2 of these 2 are known", f"no bag of {ENCODER}", "wait for their jobs")
    refused(api, rows(bags, 0, 1), "no_label_matches", *words)
    studies = rows(bags, 0, 1).replace("series_uid", "study_uid")
    for bag in bags:
        studies = studies.replace(bag.series_uid, bag.study_uid)
    refused(api, studies, "no_label_matches", "2 of these 2 are known")
    refused(api, "patient,lesion\nP0,1\nP1,0\n", "no_label_matches", "2 of these 2 are known")


@pytest.mark.parametrize("key", ["series_uid", "study_uid", "patient"])
def test_bags_of_two_recipes(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, key: str) -> None:
    bags = make_bags(api, worker, make_files, 4)
    older = {**bags[1].recipe, "pipeline_version": 1, "size": 448}
    with world.catalogue._database.write() as connection:
        which = bags_table.c.bag_id == bags[1].bag_id
        connection.execute(bags_table.update().where(which).values(recipe=older, recipe_digest="0" * 64))
    names = [f"P{at}" if key == "patient" else str(getattr(bag, key)) for at, bag in enumerate(bags)]
    labels = [[key, "lesion"], *([name, at % 2] for at, name in enumerate(names))]
    words = ("1 rows", names[1], "size 448, not", "pipeline version 1, not", "embed those series again")
    detail = refused(api, labels, "recipe_mixed", *words)
    assert "windows" not in detail, "only what differs is named"
