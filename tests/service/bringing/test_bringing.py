"""Bags made elsewhere, over the API: what becomes of them, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from slicebank_store.bags import read_bag
from slicebank_store.pseudonyms import UidPolicy
from tests.service.exports.reading import stamp_features, unpack
from tests.service.support import ENCODER, Api, FakeWorker, MakeFiles, World, assert_problem, make_bags, serving
from tests.store.bags.foreign import makers

NAME = "external:uni2"


def made(maker: Callable[..., object], folder: Path, seed: int = 0) -> bytes:
    path = folder / f"{maker.__name__}-{seed}.h5"
    maker(path, seed=seed)
    return path.read_bytes()


def bring(api: Api, content: bytes, **query: Any) -> Any:
    headers = {"Content-Type": query.pop("content_type", "application/x-hdf5")}
    return api.post("/v1/bags", content=content, params={"encoder": NAME, **query}, headers=headers)


def rows(api: Api, bag_id: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    with h5py.File(io.BytesIO(api.get(f"/v1/bags/{bag_id}/file").content)) as file:
        return np.asarray(file["feats"][()])


@pytest.mark.parametrize("maker", [makers.stamp, makers.trident, makers.clam])
def test_every_layout_is_a_bag_like_our_own(api: Api, tmp_path: Path, maker: Callable[..., object]) -> None:
    response = bring(api, made(maker, tmp_path), patient="4711", study_uid="1.2.3", series_uid="case_17")
    assert response.status_code == 201, response.text
    bag = response.json()
    assert (bag["encoder"], bag["series_uid"], bag["study_uid"]) == (NAME, "case_17", "1.2.3")
    assert len(bag["patient"]) == 64
    assert (bag["n_rows"], bag["dim"], bag["n_slices"], bag["windows"]) == (makers.N, makers.D, 0, [])
    assert api.get("/v1/bags", params={"encoder": NAME}).json()["items"] == [bag]
    assert api.get(f"/v1/bags/{bag['bag_id']}").json() == bag
    np.testing.assert_array_equal(rows(api, bag["bag_id"]), makers.values()[0])
    series = api.get("/v1/series/case_17").json()
    assert (series["study_uid"], series["patient"], series["n_slices"]) == ("1.2.3", bag["patient"], 0)
    assert api.get("/v1/series").json()["items"][0]["series_uid"] == "case_17"


def test_bringing_it_twice_is_bringing_it_once(api: Api, world: World, tmp_path: Path) -> None:
    first, again = (bring(api, made(maker, tmp_path)).json() for maker in (makers.stamp, makers.clam))
    assert first == again
    assert first["series_uid"].startswith("2.25.")
    assert first["patient"] == first["study_uid"]
    assert len(list(world.blobs.keys())) == 1
    assert world.staged() == {}
    other = bring(api, made(makers.stamp, tmp_path, seed=1)).json()
    assert other["series_uid"] != first["series_uid"]
    assert other["recipe_digest"] == first["recipe_digest"]
    assert api.delete(f"/v1/series/{first['series_uid']}").status_code == 204
    assert_problem(api.get(f"/v1/bags/{first['bag_id']}"), 404, "unknown_bag")
    assert len(list(world.blobs.keys())) == 1


def test_it_joins_a_series_that_is_known(api: Api, worker: FakeWorker, make_files: MakeFiles, tmp_path: Path) -> None:
    (own,) = make_bags(api, worker, make_files, 1)
    bag = bring(api, made(makers.stamp, tmp_path), series_uid=own.series_uid).json()
    assert (bag["patient"], bag["study_uid"]) == (own.patient, own.study_uid)
    listed = api.get("/v1/bags", params={"series_uid": own.series_uid}).json()["items"]
    assert {item["encoder"] for item in listed} == {ENCODER, NAME}
    series = api.get(f"/v1/series/{own.series_uid}").json()
    assert series["n_slices"] == own.n_slices
    same = bring(api, made(makers.stamp, tmp_path), series_uid=own.series_uid, patient="P0", study_uid=own.study_uid)
    assert same.json() == bag
    only_patient = bring(api, made(makers.stamp, tmp_path), series_uid=own.series_uid, patient=own.patient)
    assert only_patient.json() == bag


def test_a_study_that_stands_for_its_patient_may_be_named_as_exports_name_it(
    api: Api, worker: FakeWorker, make_files: MakeFiles, tmp_path: Path
) -> None:
    bag = worker.embed(api.upload(make_files()).json()["series"][0]["job_id"])
    out = unpack(api.post("/v1/exports", json={"layout": "stamp", "encoder": ENCODER}), tmp_path)
    (row,) = out.table("slide.csv")
    content = (out.root / "features" / ENCODER / row["FILENAME"]).read_bytes()
    assert bring(api, content, series_uid=bag.series_uid, patient=row["PATIENT"]).status_code == 201
    other = bring(api, content, series_uid=bag.series_uid, patient="somebody else", encoder="external:b")
    assert_problem(other, 409, "bag_conflict")


def test_what_does_not_fit_is_a_conflict(api: Api, world: World, tmp_path: Path) -> None:
    bring(api, made(makers.stamp, tmp_path), series_uid="a", patient="1")
    other_values = bring(api, made(makers.stamp, tmp_path, seed=1), series_uid="a")
    assert "remove" in assert_problem(other_values, 409, "bag_conflict")["detail"]
    assert_problem(bring(api, made(makers.stamp, tmp_path, seed=1), series_uid="a", patient="2"), 409, "bag_conflict")
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file["features"], file["coords"] = np.ones((3, 7), "f4"), np.zeros((3, 2))
    wide = (tmp_path / "wide.h5").read_bytes()
    assert "another encoder name" in assert_problem(bring(api, wide), 409, "bag_conflict")["detail"]
    assert bring(api, wide, encoder="external:other").status_code == 201
    assert len(list(world.blobs.keys())) == 2
    assert world.staged() == {}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"encoder": "uni2"}, 422, "invalid_request"),
        ({"encoder": "external:"}, 422, "invalid_request"),
        ({"encoder": "external:../x"}, 422, "invalid_request"),
        ({"encoder": "external:a:b"}, 422, "invalid_request"),
        ({"series_uid": "../x"}, 422, "invalid_request"),
        ({"content_type": "application/json"}, 415, "unsupported_media_type"),
        ({"content_type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
    ],
)
def test_refusals_of_the_request(empty_api: Api, tmp_path: Path, query: dict[str, str], status: int, code: str) -> None:
    assert_problem(bring(empty_api, made(makers.stamp, tmp_path), **query), status, code)


def test_refusals_of_the_file_leave_nothing_behind(world: World, tmp_path: Path) -> None:
    with serving(world.app(max_foreign_bag_bytes=20_000)) as api:
        body = assert_problem(bring(api, b"no HDF5 at all"), 422, "bad_foreign_bag")
        assert "HDF5" in body["detail"]
        assert_problem(bring(api, b""), 400, "empty_body")
        assert_problem(bring(api, bytes(20_001)), 413, "body_too_large")
        with h5py.File(tmp_path / "packed.h5", "w") as file:
            file.create_dataset("feats", data=np.zeros((100, 100), "f4"), chunks=(100, 100), compression=9)
            file["coords"] = np.zeros((100, 2), "f4")
        body = assert_problem(bring(api, (tmp_path / "packed.h5").read_bytes()), 422, "bad_foreign_bag")
        assert "20000 bytes" in body["detail"]
    assert list(world.blobs.keys()) == []
    assert world.staged() == {}


def test_names_are_hashed_where_the_project_hashes_them(world: World, tmp_path: Path, make_files: MakeFiles) -> None:
    with serving(world.app(uid_policy=UidPolicy.HASH)) as api:
        (own,) = make_bags(api, FakeWorker(world), make_files, 1)
        brought = bring(api, made(makers.stamp, tmp_path), series_uid="1.2.840.1")
        bag = brought.json()
        assert bag["series_uid"].startswith("2.25.")
        assert api.get("/v1/series/1.2.840.1").json()["series_uid"] == bag["series_uid"]
        unnamed = bring(api, made(makers.stamp, tmp_path, seed=3)).json()
        assert api.get(f"/v1/series/{unnamed['series_uid']}").status_code == 200
        file = api.get(f"/v1/bags/{own.bag_id}/file").content
        copy = bring(api, file, encoder="external:copy", series_uid="x").json()
        with world.blobs.open_local(own.blob_key) as path, world.blobs.open_local(_key(world, copy["bag_id"])) as other:
            assert read_bag(path).sop_instance_uid == read_bag(other).sop_instance_uid


def _key(world: World, bag_id: str) -> str:
    bag = world.catalogue.bags.get("default", bag_id)
    assert bag is not None
    return bag.blob_key


@pytest.mark.parametrize("layout", ["stamp", "trident", "clam", "clear"])
def test_out_and_in_again_the_rows_are_the_same(
    api: Api, worker: FakeWorker, make_files: MakeFiles, tmp_path: Path, layout: str
) -> None:
    bags = make_bags(api, worker, make_files, 2)
    out = unpack(api.post("/v1/exports", json={"layout": layout, "encoder": ENCODER}), tmp_path)
    for bag in bags:
        (name,) = [name for name in out.names if name.endswith(f"{bag.series_uid}.h5")]
        copy = bring(api, (out.root / name).read_bytes(), encoder=f"external:{layout}").json()
        np.testing.assert_array_equal(rows(api, copy["bag_id"]), rows(api, bag.bag_id))
        assert copy["n_slices"] == bag.n_slices
    again = unpack(
        api.post("/v1/exports", json={"layout": "stamp", "encoder": f"external:{layout}"}), tmp_path / "again"
    )
    folder = again.root / "features" / f"external.{layout}"
    found = sorted(stamp_features(folder, folder / row["FILENAME"]).tobytes() for row in again.table("slide.csv"))
    assert found == sorted(rows(api, bag.bag_id).tobytes() for bag in bags)


def test_rows_of_whole_scans_go_out_as_stamps_patient_features(api: Api, tmp_path: Path) -> None:
    """One file a patient, named by it, [1, D], feat_type patient; of a patient's two the second is left out and named."""
    for seed, patient in enumerate(("A", "B", "B")):
        with h5py.File(tmp_path / f"{seed}.h5", "w") as file:
            file["feats"] = makers.values(seed, n=1)[0]
            file.attrs["feat_type"] = "patient"
        bag = bring(api, (tmp_path / f"{seed}.h5").read_bytes(), patient=patient, series_uid=f"s{seed}").json()
        assert (bag["level"], bag["n_rows"]) == ("scan", 1)
    response = api.post("/v1/exports", json={"layout": "stamp", "encoder": NAME, "labels": "patient,x\nA,1\nB,0\n"})
    out = unpack(response, tmp_path / "out")
    folder = out.root / "features" / "external.uni2"
    slides = out.table("slide.csv")
    assert [row["FILENAME"] for row in slides] == [f"{row['PATIENT']}.h5" for row in slides]
    assert len(slides) == len(list(folder.iterdir())) == 2
    for row in slides:
        with h5py.File(folder / row["FILENAME"]) as file:
            assert (file["feats"].shape, file.attrs["feat_type"]) == ((1, makers.D), "patient")
    manifest = json.loads((out.root / "manifest.json").read_text())
    assert [item["why"] for item in manifest["left_out"]] == ["STAMP has one such file a patient"]


def test_a_head_learns_from_them(api: Api, world: World, worker: FakeWorker, tmp_path: Path) -> None:
    for seed in range(8):
        bring(api, made(makers.stamp, tmp_path, seed=seed), series_uid=f"s{seed}", patient=f"P{seed}")
    labels = "series_uid,lesion\n" + "".join(f"s{seed},{seed % 2}\n" for seed in range(8))
    ask = {
        "name": "h",
        "encoder": NAME,
        "task": {"kind": "binary", "labels": ["lesion"]},
        "labels": labels,
        "training": {"folds": 2, "test_fraction": 0.2},
    }
    answer = api.post("/v1/heads", json=ask)
    assert answer.status_code == 202, answer.text
    worker.train(answer.json()["job_id"])
    asked = api.post("/v1/heads/h/predictions", json={"series_uid": "s0"}, params={"wait": 0})
    assert asked.status_code == 202, asked.text
    bring(api, made(makers.stamp, tmp_path, seed=20), series_uid="s9", encoder="external:other")
    body = assert_problem(api.post("/v1/heads/h/predictions", json={"series_uid": "s9"}), 404, "unknown_bag")
    assert NAME in body["detail"]
    assert_problem(api.post("/v1/heads", json={**ask, "encoder": "external:nobody"}), 422, "no_label_matches")
