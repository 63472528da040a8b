"""Bags made elsewhere are learnt from and answered about by the real runners."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tests.worker.conftest import Workshop

NAME = "external:planted"
CASES = 24


def planted(path: Path, number: int) -> None:
    """Twenty rows of noise; in odd cases one of them stands out, which is row `number % 20`."""
    rows = np.random.default_rng(number).normal(size=(20, 6)).astype(np.float32)
    if number % 2:
        rows[number % 20] += 8.0
    with h5py.File(path, "w") as file:
        file["features"] = rows
        file["coords"] = np.zeros((20, 2), np.int64)


def test_a_head_finds_what_was_planted_in_them(workshop: Workshop, tmp_path: Path) -> None:
    api = workshop.api
    for number in range(CASES + 2):
        planted(tmp_path / "a.h5", number)
        answer = api.post(
            "/v1/bags",
            content=(tmp_path / "a.h5").read_bytes(),
            params={"encoder": NAME, "series_uid": f"s{number}", "patient": f"P{number}"},
            headers={"Content-Type": "application/x-hdf5"},
        )
        assert answer.status_code == 201, answer.text
    made = api.post(
        "/v1/heads",
        json={
            "name": "planted",
            "encoder": NAME,
            "task": {"kind": "binary", "labels": ["there"]},
            "labels": "series_uid,there\n" + "".join(f"s{number},{number % 2}\n" for number in range(CASES)),
            "training": {"folds": 2, "test_fraction": 0, "lr": 3e-3, "max_epochs": 60, "patience": 60, "batch_size": 4},
        },
    )
    assert made.status_code == 202, made.text
    assert workshop.run(made.json()["job_id"]).error_code is None
    assert api.get("/v1/heads/planted").json()["metrics"]["pooled"]["auroc"] > 0.9
    told = []
    for number in (CASES, CASES + 1):
        asked = api.post("/v1/heads/planted/predictions", json={"series_uid": f"s{number}"}, params={"wait": 0}).json()
        assert workshop.run(asked["job_id"]).error_code is None
        told.append(api.get(f"/v1/predictions/{asked['prediction_id']}").json())
    without, within = (answer["outputs"][0]["probability"] for answer in told)
    assert without < 0.5 < within
    rows = told[1]["attention"]["rows"]
    assert max(rows, key=lambda row: row["weight"])["row"] == (CASES + 1) % 20
    assert {(row["slice_index"], row["window"]) for row in rows} == {(-1, None)}
    assert told[1]["attention"]["slices"] == []
    picture = api.get(f"/v1/predictions/{told[1]['prediction_id']}/attention.png")
    assert picture.headers["content-type"] == "image/png"
    assert api.request("PUT", "/v1/on_embedded", json={"heads": ["planted"]}).status_code == 200
    planted(tmp_path / "a.h5", CASES + 3)
    query = {"encoder": NAME, "series_uid": "new", "patient": "new"}
    api.post("/v1/bags", content=(tmp_path / "a.h5").read_bytes(), params=query)
    (job,) = api.get("/v1/jobs", params={"kind": "predict", "series_uid": "new"}).json()["items"]
    assert workshop.run(job["job_id"]).error_code is None, "a bag that is brought is a new bag too"
