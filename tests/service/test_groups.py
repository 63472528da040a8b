from __future__ import annotations

from typing import Any

import pytest

from slicebank_store.types import JobState
from tests.service.support import ENCODER, Api, FakeWorker, MakeFiles, World, assert_problem, serving

KEY = "a" * 64


def group_of(api: Api, cases: int = 3, key: str = KEY) -> str:
    response = api.post("/v1/groups", json={"key": key, "cases": cases})
    assert response.status_code == 201
    assert response.json().keys() == {"group_id", "key", "cases", "created_at"}
    return str(response.json()["group_id"])


def shown(api: Api, group_id: str, **query: Any) -> dict[str, Any]:
    response = api.get(f"/v1/groups/{group_id}", params=query)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def test_a_cohort_has_one_progress(api: Api, worker: FakeWorker, make_files: MakeFiles) -> None:
    group_id = group_of(api)
    assert group_of(api) == group_id
    first = api.upload(make_files(0), group=group_id, case=0).json()["series"][0]
    second = api.upload(make_files(1), group=group_id, case=1).json()["series"][0]
    answer = shown(api, group_id)
    assert answer["progress"] == {"done": 0, "total": 3, "unit": "cases"}
    assert answer["jobs"] == {"queued": 2, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
    worker.embed(first["job_id"])
    worker.embed(second["job_id"])
    refused = api.upload({"DOE.txt": b"no CT " * 50}, group=group_id, case=2)
    assert_problem(refused, 422, "nothing_usable")
    answer = shown(api, group_id, wait=30)
    assert answer["state"] == "finished"
    (failure,) = answer["failures"]
    assert (failure["case"], failure["job_id"], failure["code"]) == (2, None, "nothing_usable")
    assert "not_dicom" in failure["detail"]
    assert "DOE" not in failure["detail"]
    assert api.get("/v1/groups").json()["items"][0]["group_id"] == group_id


def test_a_case_that_its_sender_gives_up_is_done(api: Api, worker: FakeWorker, make_files: MakeFiles) -> None:
    group_id = group_of(api, cases=2)
    first = api.upload(make_files(0), group=group_id, case=0).json()["series"][0]
    worker.embed(first["job_id"])
    assert shown(api, group_id)["state"] == "running"
    answer = api.post(f"/v1/groups/{group_id}/refusals", json={"case": 1, "code": "bad_input"})
    assert answer.status_code == 200
    assert answer.json()["state"] == "finished"
    assert answer.json()["failures"][0]["code"] == "bad_input"
    assert_problem(api.post(f"/v1/groups/{group_id}/refusals", json={"case": 2, "code": "x"}), 422, "bad_request")
    written = api.post(f"/v1/groups/{group_id}/refusals", json={"case": 1, "code": "/home/DOE"})
    assert_problem(written, 422, "invalid_request")
    api.upload(make_files(1), group=group_id, case=1)
    assert shown(api, group_id)["failures"] == [], "it came after all"


def test_what_is_stored_counts_for_a_case_without_being_sent(
    api: Api, worker: FakeWorker, make_files: MakeFiles
) -> None:
    sent = api.upload(make_files(), digest="d" * 64).json()["series"][0]
    ask = {"sha256": ["d" * 64, "e" * 64], "encoder": ENCODER}
    known = api.post("/v1/series/check", json=ask).json()["known"]
    (series,) = known.pop("d" * 64)
    assert known == {}
    assert series == {name: sent[name] for name in series}
    assert series["state"] == "queued"
    group_id = group_of(api, cases=1)
    response = api.post(f"/v1/groups/{group_id}/jobs", json={"case": 0, "job_ids": [series["job_id"]]})
    assert response.json()["jobs"]["queued"] == 1
    worker.embed(series["job_id"])
    assert shown(api, group_id)["state"] == "finished"
    assert api.post("/v1/series/check", json=ask).json()["known"]["d" * 64][0]["state"] == "succeeded"
    other = {**ask, "encoder": "dummy"}
    assert api.post("/v1/series/check", json=other).json()["known"] == {}
    assert api.post("/v1/series/check", json={**ask, "encoder": None}).json()["known"] == {}


def test_uploads_whose_pixels_are_kept_are_known(api: Api, worker: FakeWorker, make_files: MakeFiles) -> None:
    sent = api.upload(make_files(), digest="d" * 64, retain="true").json()["series"][0]
    worker.embed(sent["job_id"])
    ask = {"sha256": ["d" * 64], "encoder": None}
    (series,) = api.post("/v1/series/check", json=ask).json()["known"]["d" * 64]
    assert (series["bag_id"], series["job_id"], series["state"]) == (None, sent["job_id"], "succeeded")


def test_cancelling_a_cohort_leaves_nothing_in_staging(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    group_id = group_of(api)
    jobs = [api.upload(make_files(case), group=group_id, case=case).json()["series"][0]["job_id"] for case in range(3)]
    worker.claim(jobs[1])
    answer = api.post(f"/v1/groups/{group_id}/cancel").json()
    assert (answer["jobs"]["cancelled"], answer["jobs"]["running"]) == (2, 1)
    assert world.queue.hurried == [jobs[1]]
    running = world.catalogue.jobs.get("default", jobs[1])
    assert running is not None
    assert list(world.staged()) == [running.staging]


def test_retrying_a_cohort_queues_what_failed(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles
) -> None:
    group_id = group_of(api)
    jobs = [api.upload(make_files(case), group=group_id, case=case).json()["series"][0]["job_id"] for case in range(3)]
    for job_id in jobs[:2]:
        lease = worker.claim(job_id)
        assert world.catalogue.jobs.fail(lease, "decode_failed", "No.", retryable=False) is JobState.FAILED
    answer = shown(api, group_id)
    assert {item["job_id"] for item in answer["failures"]} == set(jobs[:2])
    response = api.post(f"/v1/groups/{group_id}/retry")
    assert (response.status_code, response.json()["jobs"]["queued"], response.json()["failures"]) == (202, 3, [])
    assert sorted(world.queue.job_ids[3:]) == sorted(jobs[:2])


def test_waiting_for_a_cohort_ends_with_the_time(world: World) -> None:
    with serving(world.app(max_wait_seconds=0.2)) as api:
        group_id = group_of(api)
        assert shown(api, group_id, wait=1000)["state"] == "running"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("", {"key": "A" * 64, "cases": 1}, 422, "invalid_request"),
        ("", {"key": KEY, "cases": 0}, 422, "invalid_request"),
        ("", {"key": KEY, "cases": 1, "name": "DOE"}, 422, "invalid_request"),
        ("/GROUP/jobs", {"case": 3, "job_ids": ["0" * 32]}, 422, "bad_request"),
        ("/GROUP/jobs", {"case": 0, "job_ids": ["0" * 32]}, 404, "unknown_job"),
        ("/GROUP/jobs", {"case": 0, "job_ids": []}, 422, "invalid_request"),
        (f"/{'0' * 32}/jobs", {"case": 0, "job_ids": ["0" * 32]}, 404, "unknown_group"),
        (f"/{'0' * 32}/cancel", None, 404, "unknown_group"),
        (f"/{'0' * 32}/retry", None, 404, "unknown_group"),
    ],
)
def test_requests_that_make_no_sense(api: Api, path: str, body: Any, status: int, code: str) -> None:
    response = api.post(f"/v1/groups{path.replace('GROUP', group_of(api))}", json=body)
    assert_problem(response, status, code)
    assert "DOE" not in response.text


def test_uploads_name_a_case_of_a_group_that_exists(api: Api, world: World, make_files: MakeFiles) -> None:
    group_id = group_of(api)
    for query, status, code in (
        ({"group": group_id}, 422, "bad_request"),
        ({"case": 0}, 422, "bad_request"),
        ({"group": group_id, "case": 3}, 422, "bad_request"),
        ({"group": group_id, "case": -1}, 422, "invalid_request"),
        ({"group": "0" * 32, "case": 0}, 404, "unknown_group"),
        ({"digest": "D" * 64}, 422, "invalid_request"),
    ):
        assert_problem(api.upload(make_files(), **query), status, code)
    assert_problem(api.get(f"/v1/groups/{'0' * 32}"), 404, "unknown_group")
    assert_problem(api.post("/v1/series/check", json={"sha256": ["x"]}), 422, "invalid_request")
    assert_problem(api.post("/v1/series/check", json={"sha256": [], "encoder": "nobody"}), 404, "unknown_encoder")
    assert world.staged() == {}


def test_groups_of_another_project_are_not_there(world: World) -> None:
    with serving(world.app()) as api:
        group_id = group_of(api)
    with serving(world.app(project="other")) as api:
        assert_problem(api.get(f"/v1/groups/{group_id}"), 404, "unknown_group")
        assert api.get("/v1/groups").json()["items"] == []
