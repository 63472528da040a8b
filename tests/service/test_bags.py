from __future__ import annotations

import hashlib
import io
import json

import h5py
import numpy as np
import pytest

from slicebank_store.catalogue import BagRecord
from tests.service.support import Api, Cohort, FakeWorker, MakeFiles, World, assert_problem


@pytest.fixture
def stored(api: Api, worker: FakeWorker, make_files: MakeFiles) -> BagRecord:
    return worker.embed(api.upload(make_files()).json()["series"][0]["job_id"], thumbnail=b"jpeg")


def test_a_bag_as_it_is_shown(cohort: Cohort) -> None:
    api, bag = cohort.api, cohort.bags[0]
    shown = api.get(f"/v1/bags/{bag.bag_id}").json()
    assert shown.keys() >= {
        "bag_id", "series_uid", "encoder", "recipe", "revision", "stack", "n_rows", "n_slices", "dim", "dtype", "windows",
        "sha256", "size_bytes", "created_at",
    }  # fmt: skip
    assert api.get("/v1/bags", params={"series_uid": bag.series_uid}).json() == {"items": [shown], "next_cursor": None}
    assert api.get("/v1/bags", params={"encoder": "other"}).json()["items"] == []


def test_a_bag_on_its_way_is_not_ready(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    answer = api.upload(make_files()).json()["series"][0]
    for path in (f"/v1/bags/{answer['bag_id']}", f"/v1/bags/{answer['bag_id']}/file"):
        body = assert_problem(api.get(path), 404, "bag_not_ready")
        assert body["job"]["job_id"] == answer["job_id"]
    world.catalogue.jobs.fail(worker.claim(answer["job_id"]), "decode_failed", "broken", retryable=False)
    body = assert_problem(api.get(f"/v1/bags/{answer['bag_id']}"), 404, "unknown_bag")
    assert body["job"]["state"] == "failed"


def test_the_file_is_the_stored_hdf5(cohort: Cohort) -> None:
    api, bag = cohort.api, cohort.bags[0]
    response = api.get(f"/v1/bags/{bag.bag_id}/file")
    assert response.headers["etag"] == f'"{bag.sha256}"'
    assert int(response.headers["content-length"]) == len(response.content) == bag.size_bytes
    assert hashlib.sha256(response.content).hexdigest() == bag.sha256
    with h5py.File(io.BytesIO(response.content)) as file:
        assert file["feats"].shape == (bag.n_rows, bag.dim)


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=5-99999999999", 206, slice(5, None)),
        ("bytes=-99999999999", 206, slice(None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=9-5", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("lines=0-5", 200, slice(None)),
        ("nonsense", 200, slice(None)),
    ],
)
def test_ranges(cohort: Cohort, asked: str, status: int, span: slice) -> None:
    api, bag = cohort.api, cohort.bags[0]
    whole = api.get(f"/v1/bags/{bag.bag_id}/file").content
    response = api.get(f"/v1/bags/{bag.bag_id}/file", headers={"Range": asked})
    assert (response.status_code, response.content) == (status, whole[span])
    assert int(response.headers["content-length"]) == len(whole[span])
    if status == 206:
        first = range(len(whole))[span][0]
        assert response.headers["content-range"] == f"bytes {first}-{first + len(whole[span]) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_range_beyond_the_end(cohort: Cohort, asked: str) -> None:
    api, bag = cohort.api, cohort.bags[0]
    response = api.get(f"/v1/bags/{bag.bag_id}/file", headers={"Range": asked})
    assert_problem(response, 416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{bag.size_bytes}"


def test_conditional_requests(cohort: Cohort) -> None:
    api, bag = cohort.api, cohort.bags[0]
    path, etag = f"/v1/bags/{bag.bag_id}/file", f'"{bag.sha256}"'
    for known in (etag, f'"other", W/{etag}', "*"):
        response = api.get(path, headers={"If-None-Match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert api.get(path, headers={"If-Range": etag, "Range": "bytes=0-3"}).status_code == 206
    assert api.get(path, headers={"If-Range": '"other"', "Range": "bytes=0-3"}).status_code == 200


def test_npz_loads_without_pickle_and_is_always_the_same(cohort: Cohort) -> None:
    api, bag = cohort.api, cohort.bags[0]
    path = f"/v1/bags/{bag.bag_id}/file?format=npz"
    response = api.get(path)
    assert response.content == api.get(path).content
    arrays = np.load(io.BytesIO(response.content), allow_pickle=False)
    with h5py.File(io.BytesIO(api.get(f"/v1/bags/{bag.bag_id}/file").content)) as file:
        for name in ("feats", "coords", "slice_index", "window_index", "z_mm", "instance_number", "frame_number"):
            np.testing.assert_array_equal(arrays[name], file[name][()])
        assert [uid.decode() for uid in file["sop_instance_uid"][()]] == arrays["sop_instance_uid"].tolist()
    assert json.loads(str(arrays["bag"]))["bag_id"] == bag.bag_id
    assert response.headers["etag"] != f'"{bag.sha256}"'


def test_deleting_a_bag_removes_its_file(api: Api, world: World, stored: BagRecord) -> None:
    for _ in range(2):
        assert api.delete(f"/v1/bags/{stored.bag_id}").status_code == 204
    assert_problem(api.get(f"/v1/bags/{stored.bag_id}"), 404, "unknown_bag")
    assert list(world.blobs.keys()) == []


def test_series_as_they_are_shown(api: Api, stored: BagRecord) -> None:
    series = api.get(f"/v1/series/{stored.series_uid}").json()
    assert (series["n_slices"], series["revision"], series["pixels_kept"]) == (4, 1, False)
    assert [revision["current"] for revision in series["revisions"]] == [True]
    (item,) = api.get("/v1/series").json()["items"]
    assert item == {key: value for key, value in series.items() if key != "revisions"}


def test_deleting_a_series_removes_everything_of_it(
    api: Api, world: World, stored: BagRecord, make_files: MakeFiles
) -> None:
    running = api.upload(make_files(), encoder="dummy").json()["series"][0]["job_id"]
    for _ in range(2):
        assert api.delete(f"/v1/series/{stored.series_uid}").status_code == 204
    assert_problem(api.get(f"/v1/series/{stored.series_uid}"), 404, "unknown_series")
    assert_problem(api.get(f"/v1/bags/{stored.bag_id}"), 404, "unknown_bag")
    assert api.get(f"/v1/jobs/{running}").json()["state"] == "cancelled"
    assert list(world.blobs.keys()) == []
    assert world.staged() == {}


def test_another_bag_of_a_kept_series(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    first = api.upload(make_files(), retain="true").json()["series"][0]
    path = f"/v1/series/{first['series_uid']}/bags"
    worker.embed(first["job_id"])
    response = api.post(path, json={"encoder": "dummy", "windows": ["lung", {"name": "mine", "low": 0, "high": 100}]})
    assert response.status_code == 202
    asked = response.json()
    assert asked["bag_id"] != first["bag_id"]
    assert world.queue.job_ids == [first["job_id"], asked["job_id"]]
    bag = worker.embed(asked["job_id"])
    assert [window["name"] for window in bag.windows] == ["lung", "mine"]
    known = api.post(path, json={"encoder": "hu_statistics"})
    assert (known.status_code, known.json()["bag_id"]) == (200, first["bag_id"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"encoder": "dummy"}, 409, "pixels_not_kept"),
        ({"encoder": "nobody"}, 404, "unknown_encoder"),
        ({"encoder": "dummy", "windows": ["attic"]}, 422, "bad_option"),
        ({"encoder": "dummy", "windows": []}, 422, "bad_option"),
        ({"encoder": "dummy", "windows": [{"name": "x", "low": 5, "high": 1}]}, 422, "bad_option"),
        ({"encoder": "dummy", "precision": "int1"}, 422, "bad_request"),
        ({"encoder": "dummy", "stack": 9}, 404, "unknown_stack"),
        ({"encoder": "dummy", "color": "red"}, 422, "invalid_request"),
    ],
)
def test_bags_that_cannot_be_made(cohort: Cohort, body: dict[str, object], status: int, code: str) -> None:
    api, bag = cohort.api, cohort.bags[0]
    assert_problem(api.post(f"/v1/series/{bag.series_uid}/bags", json=body), status, code)
