"""Jobs from message to end: what is made, what is left behind, and what happens when something goes wrong."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest
import structlog

from slicebank_imaging.phantom import PhantomHeader, PhantomSpec, make_phantom, write_dicom
from slicebank_store.types import JobState
from slicebank_worker.jobs.outcome import run_jobs
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Role
from tests.worker.conftest import Workshop


def phantom(
    folder: Path, seed: int = 0, n_slices: int = 24, patient: str | None = None, name: str = ""
) -> dict[str, bytes]:
    spec = PhantomSpec(seed=seed, n_slices=n_slices, size=48)
    header = PhantomHeader(patient_id=patient, name=name)
    written = write_dicom(make_phantom(spec), folder / f"{seed}{name}", header=header)
    return {path.name: path.read_bytes() for path in written.paths}


def test_an_embed_job_makes_a_bag_and_cleans_up(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")
    assert workshop.world.staged()
    job = workshop.run(series["job_id"])
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    assert (job.result["bag_id"], job.result["skipped"]) == (series["bag_id"], [])
    assert (job.progress_done, job.progress_total, job.progress_unit) == (24, 24, "slices")
    assert {"decode_s", "encode_s", "write_s"} <= set(job.stages)
    assert workshop.world.staged() == {}
    answer = workshop.api.get(f"/v1/bags/{series['bag_id']}/file")
    with h5py.File(io.BytesIO(answer.content)) as bag:
        assert bag["feats"].shape == (48, 16)
        assert bag["features"] == bag["feats"]
        assert len(bag["thumbnails"]) == 24
        assert np.all(np.diff(bag["z_mm"][:]) > 0)
    assert workshop.said.news[0] == (job.job_id, JobState.RUNNING)
    assert (job.job_id, JobState.SUCCEEDED) in workshop.said.news


def test_a_second_message_changes_nothing(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")
    first = workshop.run(series["job_id"])
    assert workshop.run(series["job_id"]) == first


def test_rows_from_kept_pixels_equal_rows_from_files(workshop: Workshop, tmp_path: Path) -> None:
    from_files = workshop.upload(phantom(tmp_path, seed=1), encoder="hu_statistics")
    workshop.run(from_files["job_id"])
    twin = workshop.upload(phantom(tmp_path, seed=1, name="twin"), encoder="dummy", retain=True)
    workshop.run(twin["job_id"])
    asked = workshop.api.post(f"/v1/series/{twin['series_uid']}/bags", json={"encoder": "hu_statistics"}).json()
    assert workshop.run(asked["job_id"]).state is JobState.SUCCEEDED
    with (
        h5py.File(io.BytesIO(workshop.api.get(f"/v1/bags/{from_files['bag_id']}/file").content)) as first,
        h5py.File(io.BytesIO(workshop.api.get(f"/v1/bags/{asked['bag_id']}/file").content)) as second,
    ):
        np.testing.assert_array_equal(first["feats"][:], second["feats"][:])


def test_the_pixels_of_a_series_outlive_those_of_another_with_the_same_slices(
    workshop: Workshop, tmp_path: Path
) -> None:
    files = phantom(tmp_path)
    first = workshop.upload(files, encoder="dummy", retain=True)
    copies = {name: with_series(content, "1.2.3.4") for name, content in files.items()}
    second = workshop.upload(copies, encoder="dummy", retain=True)
    assert second["series_uid"] == "1.2.3.4"
    for series in (first, second):
        workshop.run(series["job_id"])
    assert workshop.api.delete(f"/v1/series/{first['series_uid']}").status_code == 204
    asked = workshop.api.post("/v1/series/1.2.3.4/bags", json={"encoder": "hu_statistics"}).json()
    assert workshop.run(asked["job_id"]).state is JobState.SUCCEEDED


def test_kept_pixels_that_are_gone_fail_the_job_with_what_to_do(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy", retain=True)
    workshop.run(series["job_id"])
    (key,) = [key for key in workshop.world.blobs.keys() if "/pixels/" in key]  # noqa: SIM118 - not a mapping
    workshop.world.blobs.delete(key)
    asked = workshop.api.post(f"/v1/series/{series['series_uid']}/bags", json={"encoder": "hu_statistics"}).json()
    job = workshop.run(asked["job_id"])
    assert (job.state, job.error_code) == (JobState.FAILED, "pixels_missing")


def with_series(content: bytes, series_uid: str) -> bytes:
    data = pydicom.dcmread(io.BytesIO(content))
    data.SeriesInstanceUID = series_uid
    buffer = io.BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def test_pixels_alone(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy", embed=False)
    assert series["bag_id"] is None
    job = workshop.run(series["job_id"])
    assert (job.state, job.result) == (JobState.SUCCEEDED, {"series": series["series_uid"], "skipped": []})
    assert workshop.api.get(f"/v1/series/{series['series_uid']}").json()["pixels_kept"] is True
    asked = workshop.api.post(f"/v1/series/{series['series_uid']}/bags", json={"encoder": "dummy"}).json()
    assert workshop.run(asked["job_id"]).state is JobState.SUCCEEDED


def damage(workshop: Workshop, count: int) -> None:
    """Cuts staged files short, as a failing disk would."""
    (folder,) = workshop.world.staging_dir.iterdir()
    for path in sorted(folder.iterdir())[:count]:
        path.write_bytes(path.read_bytes()[:-500])


def test_few_broken_slices_are_named_and_left_out(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")
    damage(workshop, 1)
    job = workshop.run(series["job_id"])
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    (skipped,) = job.result["skipped"]
    assert skipped["sop_instance_uid"]
    assert "send it again" in skipped["detail"] or "upload" in skipped["detail"]
    with h5py.File(io.BytesIO(workshop.api.get(f"/v1/bags/{series['bag_id']}/file").content)) as bag:
        assert bag["feats"].shape == (46, 16)
        assert skipped["slice_index"] not in bag["slice_index"][:]


def test_too_many_broken_slices_fail_the_job_at_once(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")
    damage(workshop, 2)
    job = workshop.run(series["job_id"])
    assert (job.state, job.error_code, job.attempts) == (JobState.FAILED, "decode_failed", 1)
    assert workshop.api.get(f"/v1/bags/{series['bag_id']}").status_code == 404
    assert workshop.world.staged(), "a failed job keeps its files for a retry"
    assert not list(workshop.world.blobs.keys())


def test_files_that_are_gone_fail_the_job_with_what_to_do(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")
    workshop.world.staging.remove(next(workshop.world.staging_dir.iterdir()).name)
    job = workshop.run(series["job_id"])
    assert (job.state, job.error_code) == (JobState.FAILED, "staging_missing")
    assert "upload the series again" in (job.error_detail or "")


def test_an_unforeseen_error_is_tried_again(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")

    def crash(hold: Hold) -> bool:
        raise ZeroDivisionError

    workshop.runners = dict.fromkeys(workshop.runners, crash)
    job = workshop.run(series["job_id"])
    assert (job.state, job.attempts, job.error_code) == (JobState.QUEUED, 1, "internal_error")


def test_cancel_while_it_runs(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")
    inside = threading.Event()

    def work(hold: Hold) -> bool:
        inside.set()
        while True:
            hold.check()

    workshop.runners = dict.fromkeys(workshop.runners, work)
    thread = threading.Thread(target=workshop.run, args=(series["job_id"],))
    thread.start()
    assert inside.wait(30)
    assert workshop.api.post(f"/v1/jobs/{series['job_id']}/cancel").status_code in (200, 202)
    thread.join(30)
    assert workshop.job(series["job_id"]).state is JobState.CANCELLED
    assert workshop.world.staged() == {}


def test_a_stopping_worker_hands_its_job_back(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")

    def work(hold: Hold) -> bool:
        workshop.runtime.leases.stopping.set()
        hold.check()
        return True

    workshop.runners = dict.fromkeys(workshop.runners, work)
    job = workshop.run(series["job_id"])
    assert (job.state, job.attempts, job.lost_leases) == (JobState.QUEUED, 0, 0)
    assert workshop.run(series["job_id"]).state is JobState.QUEUED, "a stopping worker takes no more"


def test_a_series_deleted_while_it_is_embedded_stays_deleted(workshop: Workshop, tmp_path: Path) -> None:
    series = workshop.upload(phantom(tmp_path), encoder="dummy")
    embed = workshop.runners[Role.EMBED]

    def work(hold: Hold) -> bool:
        assert workshop.api.delete(f"/v1/series/{series['series_uid']}").status_code == 204
        return embed(hold)

    run_jobs(workshop.runtime, "embed", work)
    job = workshop.world.catalogue.jobs.get("default", series["job_id"])
    assert job is None or job.state is JobState.CANCELLED
    assert workshop.api.get(f"/v1/bags/{series['bag_id']}").status_code == 404
    assert not list(workshop.world.blobs.keys())


def test_train_and_predict(workshop: Workshop, tmp_path: Path) -> None:
    uploads = [
        workshop.upload(phantom(tmp_path, seed, n_slices=4, patient=f"P{seed}"), encoder="dummy") for seed in range(12)
    ]
    for series in uploads:
        workshop.run(series["job_id"])
    rows = [[series["series_uid"], index % 2] for index, series in enumerate(uploads[:10])]
    asked = workshop.api.post(
        "/v1/heads",
        json={
            "name": "odd",
            "encoder": "dummy",
            "task": {"kind": "binary", "labels": ["odd"]},
            "labels": [["series_uid", "odd"], *rows],
            "training": {"folds": 2, "max_epochs": 2, "test_fraction": 0, "windows": ["lung"]},
        },
    ).json()
    job = workshop.run(asked["job_id"])
    assert job.state is JobState.SUCCEEDED, job.error_detail
    head = workshop.api.get("/v1/heads/odd").json()
    assert len(head["metrics"]["folds"]) == 2
    assert head["metrics"]["warnings"]
    pending = workshop.api.post("/v1/heads/odd/predictions", json={"series_uid": uploads[11]["series_uid"]})
    assert pending.status_code == 202
    assert workshop.run(pending.json()["job_id"]).state is JobState.SUCCEEDED
    answer = workshop.api.post("/v1/heads/odd/predictions", json={"series_uid": uploads[11]["series_uid"]}).json()
    attention = answer["attention"]
    assert {row["window"] for row in attention["rows"]} == {"lung"}
    assert [row["row"] for row in attention["rows"]] == [1, 3, 5, 7]
    assert sum(row["weight"] for row in attention["rows"]) == pytest.approx(1)
    assert sorted(item["rank"] for item in attention["slices"]) == [1, 2, 3, 4]
    assert 0 < answer["outputs"][0]["probability"] < 1


def test_one_message_is_enough_for_all_jobs_that_are_due(workshop: Workshop, tmp_path: Path) -> None:
    uploads = [workshop.upload(phantom(tmp_path, seed, n_slices=2), encoder="dummy") for seed in range(3)]
    workshop.run(uploads[1]["job_id"])
    assert {workshop.job(series["job_id"]).state for series in uploads} == {JobState.SUCCEEDED}


def test_the_request_that_made_a_job_is_named_where_it_runs(workshop: Workshop, tmp_path: Path) -> None:
    files = [("files", (name, content)) for name, content in phantom(tmp_path, n_slices=2).items()]
    answer = workshop.api.post(
        "/v1/series", files=files, params={"encoder": "dummy"}, headers={"X-Request-ID": "from-the-console-7"}
    )
    (series,) = answer.json()["series"]
    said: list[dict[str, object]] = []

    def work(hold: Hold) -> bool:
        said.append(structlog.contextvars.get_contextvars())
        return workshop.runners[Role.EMBED](hold)

    run_jobs(workshop.runtime, "embed", work)
    assert said == [{"job_id": series["job_id"], "request_id": "from-the-console-7"}]
