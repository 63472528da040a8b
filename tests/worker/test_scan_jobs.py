"""Scans from upload to answer: one volume a series, one row a bag, heads without attention."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from slicebank_imaging.phantom import PhantomSpec, make_phantom
from slicebank_imaging.volume import VolumeBuilder
from slicebank_imaging.volume_frame import Convention, StackPlace, VolumeFrame
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.volume_spec import Resampling
from slicebank_store.types import JobState
from slicebank_worker.engine.host import HostEncoder
from slicebank_worker.engine.shelf import Batch
from slicebank_worker.jobs.outcome import run_jobs
from slicebank_worker.runtime import Role
from tests.worker.conftest import Workshop
from tests.worker.test_jobs import damage, phantom


def bag_of(workshop: Workshop, bag_id: str) -> h5py.File:
    answer = workshop.api.get(f"/v1/bags/{bag_id}/file")
    assert answer.status_code == 200
    return h5py.File(io.BytesIO(answer.content))


def features_of(workshop: Workshop, manifest: dict[str, Any], hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the encoder says of slices that were never files."""
    card = workshop.world.registry.get("dummy_scan")
    assert card.volume is not None
    builder = VolumeBuilder(StackPlace.from_manifest(manifest), VolumeFrame.from_dict(card.volume.as_dict()))
    for index, plane in enumerate(hu):
        builder.add(index, builder.plane(plane.astype(np.float32)))
    return FrozenEncoder(card, load_encoder(card)).encode(builder.finish()[None])


def test_conventions_have_one_name_in_cards_and_in_imaging() -> None:
    assert {one.value for one in Resampling} == {one.value for one in Convention}


def test_a_scan_makes_a_bag_of_one_row(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy_scan")
    manifest = workshop.world.catalogue.jobs.manifest(series["job_id"])
    job = workshop.run(series["job_id"])
    assert job.state is JobState.SUCCEEDED, job.error_detail
    assert job.result is not None
    assert (job.result["n_rows"], job.result["skipped"]) == (1, [])
    assert (job.progress_done, job.progress_total, job.progress_unit) == (24, 24, "slices")
    assert {"decode_s", "transform_s", "decode_wait_s", "encode_s", "encode_wait_s", "write_s"} <= set(job.stages)
    listed = workshop.api.get(f"/v1/bags/{series['bag_id']}").json()
    assert (listed["level"], listed["n_rows"], listed["n_slices"], listed["windows"]) == ("scan", 1, 24, [])
    with bag_of(workshop, series["bag_id"]) as bag:
        hu = make_phantom(PhantomSpec(seed=0, n_slices=24, size=48)).hu
        np.testing.assert_allclose(bag["feats"][:], features_of(workshop, manifest, hu), rtol=1e-4, atol=1e-5)
        assert (bag["slice_index"][0], bag["window_index"][0]) == (-1, -1)
        assert bag["coords"][0, 0] == pytest.approx(500 * (bag["z_mm"][0] + bag["z_mm"][-1]), rel=1e-6)
        assert len(bag["thumbnails"]) == 24
        assert all(len(picture) for picture in bag["thumbnails"])
        assert bag.attrs["level"] == "scan"
        assert '"resampling": "monai"' in bag.attrs["recipe"]
    assert workshop.world.staged() == {}


def test_scans_and_slices_of_one_series_from_kept_pixels(workshop: Workshop, tmp_path: Path) -> None:
    from_files = workshop.upload(phantom(tmp_path, seed=1), encoder="dummy_scan")
    workshop.run(from_files["job_id"])
    twin = workshop.upload(phantom(tmp_path, seed=1, name="twin"), encoder="dummy", retain=True)
    workshop.run(twin["job_id"])
    asked = workshop.api.post(f"/v1/series/{twin['series_uid']}/bags", json={"encoder": "dummy_scan"}).json()
    assert workshop.run(asked["job_id"]).state is JobState.SUCCEEDED
    with bag_of(workshop, from_files["bag_id"]) as first, bag_of(workshop, asked["bag_id"]) as second:
        np.testing.assert_allclose(first["feats"][:], second["feats"][:], atol=1e-5)


def test_a_broken_slice_is_bridged_and_named(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy_scan")
    manifest = workshop.world.catalogue.jobs.manifest(series["job_id"])
    damage(workshop, 1)
    job = workshop.run(series["job_id"])
    assert job.state is JobState.SUCCEEDED, job.error_detail
    assert job.result is not None
    (skipped,) = job.result["skipped"]
    hu = make_phantom(PhantomSpec(seed=0, n_slices=24, size=48)).hu.astype(np.float32)
    at = skipped["slice_index"]
    hu[at] = hu[at - 1] if at == 23 else hu[at + 1] if at == 0 else (hu[at - 1] + hu[at + 1]) / 2
    with bag_of(workshop, series["bag_id"]) as bag:
        assert bag["feats"].shape == (1, 24)
        assert len(bag["slice_number"]) == 23
        np.testing.assert_allclose(bag["feats"][:], features_of(workshop, manifest, hu), rtol=1e-4, atol=1e-5)


def test_too_many_broken_slices_fail_the_job(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy_scan")
    damage(workshop, 2)
    job = workshop.run(series["job_id"])
    assert (job.state, job.error_code) == (JobState.FAILED, "decode_failed")


def test_a_scan_is_cancelled_while_the_device_has_it(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, let_go = threading.Event(), threading.Event()

    def slow(encoder: HostEncoder, parcels: object) -> Batch:
        inside.set()
        assert let_go.wait(60)
        return Batch(np.zeros((1, 24), np.float32), 0.0)

    monkeypatch.setattr(HostEncoder, "_encode", slow)
    series = workshop.upload(phantom(tmp_path), encoder="dummy_scan")
    thread = threading.Thread(target=workshop.run, args=(series["job_id"],))
    thread.start()
    try:
        assert inside.wait(60)
        assert workshop.api.post(f"/v1/jobs/{series['job_id']}/cancel").status_code in (200, 202)
        thread.join(60)
        assert workshop.job(series["job_id"]).state is JobState.CANCELLED
    finally:
        let_go.set()
    assert workshop.api.get(f"/v1/bags/{series['bag_id']}").status_code == 404


def test_windows_of_a_scan_are_refused_with_a_sentence(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy_scan", retain=True)
    workshop.run(series["job_id"])
    asked = workshop.api.post(
        f"/v1/series/{series['series_uid']}/bags", json={"encoder": "dummy_scan", "windows": ["lung"]}
    )
    assert asked.status_code == 422
    assert "leave windows out" in asked.json()["detail"]


def test_heads_learn_from_scans_and_answer(workshop: Workshop, tmp_path: Path) -> None:
    uploads = [
        workshop.upload(phantom(tmp_path, seed, n_slices=4, patient=f"P{seed}"), encoder="dummy_scan")
        for seed in range(12)
    ]
    for series in uploads:
        assert workshop.run(series["job_id"]).state is JobState.SUCCEEDED
    labels = [
        ["series_uid", "odd"],
        *([series["series_uid"], index % 2] for index, series in enumerate(uploads[:10])),
    ]
    request: dict[str, Any] = {
        "name": "odd",
        "encoder": "dummy_scan",
        "task": {"kind": "binary", "labels": ["odd"]},
        "labels": labels,
        "training": {"folds": 2, "max_epochs": 2, "test_fraction": 0},
    }
    refused = workshop.api.post("/v1/heads", json={**request, "training": {**request["training"], "windows": ["lung"]}})
    assert refused.status_code == 422
    assert "one row a scan" in refused.json()["detail"]
    asked = workshop.api.post("/v1/heads", json=request).json()
    job = workshop.run(asked["job_id"])
    assert job.state is JobState.SUCCEEDED, job.error_detail
    head = workshop.api.get("/v1/heads/odd").json()
    assert (head["level"], len(head["metrics"]["folds"])) == ("scan", 2)
    pending = workshop.api.post("/v1/heads/odd/predictions", json={"series_uid": uploads[11]["series_uid"]})
    assert pending.status_code == 202
    assert workshop.run(pending.json()["job_id"]).state is JobState.SUCCEEDED
    answer = workshop.api.post("/v1/heads/odd/predictions", json={"series_uid": uploads[11]["series_uid"]}).json()
    assert 0 < answer["outputs"][0]["probability"] < 1
    (row,) = answer["attention"]["rows"]
    assert (row["slice_index"], row["window"], row["weight"]) == (-1, None, 1.0)
    assert answer["attention"]["slices"] == []
    picture = workshop.api.get(f"/v1/predictions/{answer['prediction_id']}/attention.png")
    assert picture.status_code == 200
    assert picture.content.startswith(b"\x89PNG")


def test_a_head_of_scans_has_the_bag_made_that_it_needs(workshop: Workshop, tmp_path: Path) -> None:
    uploads = [
        workshop.upload(phantom(tmp_path, seed, n_slices=4, patient=f"P{seed}"), encoder="dummy_scan")
        for seed in range(8)
    ]
    for series in uploads:
        workshop.run(series["job_id"])
    asked = workshop.api.post(
        "/v1/heads",
        json={
            "name": "odd",
            "encoder": "dummy_scan",
            "task": {"kind": "binary", "labels": ["odd"]},
            "labels": [
                ["series_uid", "odd"],
                *([series["series_uid"], index % 2] for index, series in enumerate(uploads)),
            ],
            "training": {"folds": 2, "max_epochs": 1, "test_fraction": 0},
        },
    ).json()
    assert workshop.run(asked["job_id"]).state is JobState.SUCCEEDED
    kept = workshop.upload(phantom(tmp_path, 20, n_slices=4), encoder="dummy", retain=True)
    workshop.run(kept["job_id"])
    question = {"series_uid": kept["series_uid"]}
    pending = workshop.api.post("/v1/heads/odd/predictions", json=question)
    assert pending.status_code == 202, pending.text
    run_jobs(workshop.runtime, Role.EMBED.value, workshop.runners[Role.EMBED])  # the bag that the answer waits for
    assert workshop.run(pending.json()["job_id"]).state is JobState.SUCCEEDED
    again = workshop.api.post("/v1/heads/odd/predictions", json=question)
    assert again.status_code == 200, again.text
    assert len(again.json()["attention"]["rows"]) == 1


def test_slices_and_scans_share_a_worker(workshop: Workshop, tmp_path: Path) -> None:
    files = phantom(tmp_path, seed=3)
    jobs = [workshop.upload(files, encoder=encoder)["job_id"] for encoder in ("dummy", "dummy_scan", "hu_statistics")]
    for job_id in jobs:
        assert workshop.run(job_id).state is JobState.SUCCEEDED
    assert Role.EMBED in workshop.runners
