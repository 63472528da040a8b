from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
from PIL import Image

from slicebank_imaging.thumbnails import jpeg_thumbnail
from slicebank_store.catalogue import BagRecord
from slicebank_store.types import JobKind, JobState
from tests.service.support import ENCODER, KEY, Api, Cohort, FakeWorker, MakeFiles, World, assert_problem, make_bags


@pytest.fixture
def bags(api: Api, worker: FakeWorker, make_files: MakeFiles) -> list[BagRecord]:
    return make_bags(api, worker, make_files, 4)


def train(api: Api, worker: FakeWorker, bags: list[BagRecord]) -> str:
    """Trains a head called lesions; gives its id."""
    labels = [["series_uid", "lesion"], *([bag.series_uid, i % 2] for i, bag in enumerate(bags))]
    settings = {"folds": 2, "test_fraction": 0}
    body = {"name": "lesions", "encoder": ENCODER, "task": {"kind": "binary"}, "labels": labels, "training": settings}
    accepted = api.post("/v1/heads", json=body).json()
    worker.train(accepted["job_id"])
    return str(accepted["head_id"])


@pytest.fixture
def head(api: Api, worker: FakeWorker, bags: list[BagRecord]) -> str:
    return train(api, worker, bags)


@pytest.fixture(scope="module")
def trained(cohort: Cohort) -> Api:
    """An API with a trained head, for tests that change nothing."""
    train(cohort.api, FakeWorker(cohort.world), cohort.bags)
    return cohort.api


async def ask_while(api: Api, body: dict[str, Any], work: Callable[[str], Any], **query: Any) -> httpx.Response:
    """Asks the head, and does the work of the predict job as soon as it is sent."""
    answers: list[httpx.Response] = []
    queue = api.app.state.context.queue
    sent = len(queue.sent)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://test") as client:

        async def ask() -> None:
            headers = {"Authorization": f"Bearer {KEY}"}
            answers.append(await client.post("/v1/heads/lesions/predictions", json=body, headers=headers, params=query))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            while len(queue.sent) == sent:
                await anyio.sleep(0.005)
            await anyio.to_thread.run_sync(work, queue.job_ids[sent])
    return answers[0]


def test_a_prediction_from_a_stored_bag(
    api: Api, world: World, worker: FakeWorker, bags: list[BagRecord], head: str
) -> None:
    bag = bags[0]

    def work(job_id: str) -> None:
        worker.predict(job_id)
        world.news.say(job_id, JobState.SUCCEEDED)

    response = api.call(lambda: ask_while(api, {"series_uid": bag.series_uid}, work, wait=30))
    assert response.status_code == 200
    answer = response.json()
    assert (answer["head_id"], answer["bag_id"], answer["series_uid"]) == (head, bag.bag_id, bag.series_uid)
    assert answer["outputs"] == [{"label": "lesion", "probability": 0.75, "logit": 1.1, "fold_std": 0.05}]
    assert answer["series"] == [{"series_uid": bag.series_uid, "bag_id": bag.bag_id}]
    for part in ("rows", "slices"):
        assert sum(item["weight"] for item in answer["attention"][part]) == pytest.approx(1.0)
    assert answer["attention"]["rows"][0].keys() == {
        "row", "slice_index", "window", "sop_instance_uid", "instance_number", "z_mm", "weight", "logit",
    }  # fmt: skip
    sent = len(world.queue.sent)
    by_bag = api.post("/v1/heads/lesions/predictions", json={"bag_id": bag.bag_id})
    assert (by_bag.status_code, by_bag.json()["prediction_id"]) == (200, answer["prediction_id"])
    assert by_bag.json()["rule"] is None
    by_study = api.post(f"/v1/heads/{head}/predictions", json={"study_uid": bag.study_uid}).json()
    assert by_study["rule"] == "the series of the study with the most slices"
    assert len(world.queue.sent) == sent, "what is known is not computed again"
    assert api.get(f"/v1/predictions/{answer['prediction_id']}").json()["outputs"] == answer["outputs"]


def test_a_slow_prediction_is_answered_with_its_job(api: Api, world: World, bags: list[BagRecord], head: str) -> None:
    first = api.post("/v1/heads/lesions/predictions", json={"bag_id": bags[0].bag_id})
    assert first.status_code == 202
    pending = first.json()
    assert (pending["state"], pending["job"]["kind"]) == ("queued", "predict")
    again = api.post("/v1/heads/lesions/predictions?wait=0", json={"bag_id": bags[0].bag_id}).json()
    assert again["job_id"] == pending["job_id"], "asking twice makes one job"
    body = assert_problem(api.get(f"/v1/predictions/{pending['prediction_id']}"), 404, "prediction_not_ready")
    assert body["job"]["job_id"] == pending["job_id"]


def test_a_prediction_that_fails_names_its_job(
    api: Api, world: World, worker: FakeWorker, bags: list[BagRecord], head: str
) -> None:
    def work(job_id: str) -> None:
        world.catalogue.jobs.fail(worker.claim(job_id), "bag_missing", "the bag is gone", retryable=False)

    response = api.call(lambda: ask_while(api, {"bag_id": bags[0].bag_id}, work, wait=30))
    body = assert_problem(response, 500, "prediction_failed")
    assert body["job"]["error"]["code"] == "bag_missing"


def test_a_cancelled_prediction_is_not_waited_for(api: Api, world: World, bags: list[BagRecord], head: str) -> None:
    def work(job_id: str) -> None:
        world.catalogue.jobs.request_cancel("default", job_id)

    response = api.call(lambda: ask_while(api, {"bag_id": bags[0].bag_id}, work, wait=30))
    assert "is cancelled" in assert_problem(response, 500, "prediction_failed")["detail"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_prediction_whose_bag_is_not_made_names_the_reason(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, head: str, cancelled: bool
) -> None:
    upload = api.upload(make_files(24)).json()["series"][0]

    async def scenario() -> httpx.Response:
        answers: list[httpx.Response] = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://test") as client:

            async def ask() -> None:
                answers.append(
                    await client.post(
                        "/v1/heads/lesions/predictions",
                        json={"bag_id": upload["bag_id"]},
                        headers={"Authorization": f"Bearer {KEY}"},
                        params={"wait": 30},
                    )
                )

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                while not world.catalogue.jobs.list("default", kind=JobKind.PREDICT).items:
                    await anyio.sleep(0.005)
                if cancelled:
                    world.catalogue.jobs.request_cancel("default", upload["job_id"])
                else:
                    lease = worker.claim(upload["job_id"])
                    world.catalogue.jobs.fail(lease, "decode_failed", "nothing decoded", retryable=False)
        return answers[0]

    body = assert_problem(api.call(scenario), 409, "dependency_failed")
    assert upload["job_id"] in body["detail"]
    assert ("is cancelled" if cancelled else "failed (decode_failed): nothing decoded") in body["detail"]
    assert body["job"]["error"]["code"] == "dependency_failed"


def test_without_a_bag_the_prediction_waits_for_its_job(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, head: str
) -> None:
    upload = api.upload(make_files(20)).json()["series"][0]
    for body in (
        {"series_uid": upload["series_uid"]},
        {"bag_id": upload["bag_id"]},
        {"study_uid": upload["study_uid"]},
    ):
        response = api.post("/v1/heads/lesions/predictions", json=body)
        assert response.status_code == 202
        pending = response.json()
        assert (pending["bag_id"], pending["job"]["waits_for"]) == (upload["bag_id"], upload["job_id"])
        assert pending["job_id"] not in world.queue.job_ids, "its message is sent when the bag is there"
    worker.embed(upload["job_id"])
    prediction = worker.predict(pending["job_id"])
    assert api.get(f"/v1/predictions/{prediction.prediction_id}").status_code == 200


def test_a_kept_series_gets_its_bag_made(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, head: str
) -> None:
    kept = api.upload(make_files(21), encoder="dummy", retain="true").json()["series"][0]
    worker.embed(kept["job_id"])
    pending = api.post("/v1/heads/lesions/predictions", json={"series_uid": kept["series_uid"]}).json()
    kind, job_id, _ = world.queue.sent[-1]
    assert (kind, pending["job"]["waits_for"]) == (JobKind.EMBED, job_id)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"series_uid": "1.2", "bag_id": "3"}, 422, "invalid_request"),
        ({"series_uid": "../x"}, 422, "invalid_request"),
        ({"series_uid": 5}, 422, "invalid_request"),
        ({"series_uid": "1.2.3"}, 404, "unknown_series"),
        ({"study_uid": "1.2.3"}, 404, "unknown_series"),
        ({"bag_id": "0" * 32}, 404, "unknown_bag"),
        ({"cohort": []}, 422, "invalid_request"),
        ({"cohort": ["../x"]}, 422, "invalid_request"),
        ({"cohort": [{"series_uid": "1.2", "bag_id": "3"}]}, 422, "invalid_request"),
        ({"cohort": ["1.2.3"], "bag_id": "3"}, 422, "invalid_request"),
    ],
)
def test_questions_that_make_no_sense(trained: Api, body: dict[str, Any], status: int, code: str) -> None:
    assert_problem(trained.post("/v1/heads/lesions/predictions", json=body), status, code)


def test_bags_of_another_recipe(api: Api, worker: FakeWorker, make_files: MakeFiles, head: str) -> None:
    other = api.upload(make_files(22), encoder="dummy").json()["series"][0]
    body = {"bag_id": other["bag_id"]}
    assert_problem(api.post("/v1/heads/lesions/predictions", json=body), 409, "recipe_mismatch")
    worker.embed(other["job_id"])
    assert_problem(api.post("/v1/heads/lesions/predictions", json=body), 409, "recipe_mismatch")
    body = {"series_uid": other["series_uid"]}
    assert_problem(api.post("/v1/heads/lesions/predictions", json=body), 409, "pixels_not_kept")


def test_a_head_that_is_not_trained(api: Api, bags: list[BagRecord]) -> None:
    labels = [["series_uid", "lesion"], *([bag.series_uid, i % 2] for i, bag in enumerate(bags))]
    body = {"name": "new", "encoder": ENCODER, "task": {"kind": "binary"}, "labels": labels,
            "training": {"folds": 2, "test_fraction": 0}}  # fmt: skip
    job_id = api.post("/v1/heads", json=body).json()["job_id"]
    problem = assert_problem(
        api.post("/v1/heads/new/predictions", json={"bag_id": bags[0].bag_id}), 409, "head_not_ready"
    )
    assert problem["job_id"] == job_id


def test_the_attention_picture(api: Api, worker: FakeWorker, make_files: MakeFiles, head: str) -> None:
    upload = api.upload(make_files(23)).json()["series"][0]
    picture = jpeg_thumbnail(np.full((64, 64), 99, np.uint8))
    bag = worker.embed(upload["job_id"], thumbnail=picture)
    pending = api.post("/v1/heads/lesions/predictions?wait=0", json={"bag_id": bag.bag_id}).json()
    worker.predict(pending["job_id"])
    path = f"/v1/predictions/{pending['prediction_id']}/attention.png"
    response = api.get(path)
    assert response.headers["content-type"] == "image/png"
    image = np.asarray(Image.open(io.BytesIO(response.content)).convert("L"))
    assert (image == 99).sum() > 4 * 64 * 64, "the top slices are shown"
    plain = np.asarray(Image.open(io.BytesIO(api.get(path, params={"top": 0}).content)))
    assert plain.shape[0] < image.shape[0]
    api.delete(f"/v1/bags/{bag.bag_id}")
    assert_problem(api.get(path), 404, "unknown_prediction")
