from __future__ import annotations

import base64
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import slicebank_imaging
import slicebank_service
import slicebank_store
from slicebank_imaging.errors import ImagingError
from slicebank_models.errors import ModelsError
from slicebank_service.errors import ServiceError, Unauthorized
from slicebank_service.middleware import OPEN_PATHS
from slicebank_service.problems import FRAMEWORK_CODES, HTTP_STATUS, problem
from slicebank_store.blobs import DirectoryBlobs
from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import BlobsUnavailable, CatalogueUnavailable, StoreError
from slicebank_store.notify import JobNews
from tests.service.support import Api, World, assert_problem, serving


def tree(root: type[Exception]) -> set[type[Exception]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))


def codes(root: type[Exception]) -> set[str]:
    return {kind.code for kind in tree(root)}  # type: ignore[attr-defined]


def test_every_error_code_has_a_status_and_no_status_is_without_an_error() -> None:
    for package in (slicebank_imaging, slicebank_service, slicebank_store):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and ".migrations" not in module.name:
                importlib.import_module(module.name)
    known = codes(ImagingError) | codes(ModelsError) | codes(StoreError) | codes(ServiceError)
    assert known == set(HTTP_STATUS)


def test_codes_of_the_framework_are_nobody_elses() -> None:
    assert not FRAMEWORK_CODES.keys() & HTTP_STATUS.keys()


def test_a_problem_can_always_be_written() -> None:
    answer = problem("r", 422, "bad_task", "Unknown \ud800.", extra={"\udfff": "\ud800"})
    assert json.loads(answer.body)["detail"] == "Unknown ?."
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("root", [ImagingError, StoreError, ServiceError, ModelsError])
def test_codes_are_unique_within_a_room(root: type[Exception]) -> None:
    assert len(codes(root)) == len(tree(root))


def test_service_never_imports_torch() -> None:
    script = (
        "import sys, slicebank_service.process, slicebank_service.serving.supervisor, "
        "slicebank_service.intake.take_in, slicebank_service.answers.picture_of; "
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'torchvision', 'timm')])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_api_answers_before_it_loads_what_uploads_and_pictures_need() -> None:
    late = ("numpy", "pydicom", "h5py", "celery", "matplotlib", "alembic")
    script = f"import sys, slicebank_service.process; print([name for name in {late} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_serve_command_is_light_to_import() -> None:
    script = "import sys, slicebank_service.commands; print([m for m in ('fastapi', 'sqlalchemy', 'numpy') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "no_such_route"),
        ("GET", "/", 404, "no_such_route"),
        ("GET", "/v1/jobs/", 404, "no_such_route"),
        ("PUT", "/v1/series", 405, "method_not_allowed"),
        ("GET", "/v1/jobs?limit=0", 422, "invalid_request"),
        ("GET", "/v1/jobs?limit=many", 422, "invalid_request"),
        ("GET", "/v1/jobs?state=asleep", 422, "invalid_request"),
        ("GET", "/v1/jobs?cursor=%FF", 422, "bad_cursor"),
        *(
            ("GET", f"/v1/jobs?cursor={base64.urlsafe_b64encode(text).decode()}", 422, "bad_cursor")
            for text in (b"[1" + b"0" * 400 + b', "a"]', b"[" * 5000, b'[1, "\\ud800"]', b'[NaN, "a"]')
        ),
        ("GET", "/v1/jobs/..%5C..", 422, "invalid_request"),
        ("GET", "/v1/jobs/-x", 422, "invalid_request"),
        ("GET", "/v1/jobs/" + "0" * 32, 404, "unknown_job"),
        ("GET", "/v1/jobs/" + "0" * 32 + "/events", 404, "unknown_job"),
        ("POST", "/v1/jobs/" + "0" * 32 + "/cancel", 404, "unknown_job"),
        ("POST", "/v1/jobs/" + "0" * 32 + "/retry", 404, "unknown_job"),
        ("GET", "/v1/series/1.2.3", 404, "unknown_series"),
        ("POST", "/v1/series/1.2.3/bags", 404, "unknown_series"),
        ("GET", "/v1/bags/" + "0" * 32, 404, "unknown_bag"),
        ("GET", "/v1/bags/" + "0" * 32 + "/file", 404, "unknown_bag"),
        ("GET", "/v1/bags/" + "0" * 32 + "/file?format=pickle", 422, "invalid_request"),
        ("GET", "/v1/encoders/nobody", 404, "unknown_encoder"),
        ("GET", "/v1/heads/nobody", 404, "unknown_head"),
        ("POST", "/v1/heads/nobody/promote", 404, "unknown_head"),
        ("GET", "/v1/heads/nobody/predictions.csv", 404, "unknown_head"),
        ("GET", "/v1/predictions/" + "0" * 32, 404, "unknown_prediction"),
        ("GET", "/v1/predictions/" + "0" * 32 + "/attention.png", 404, "unknown_prediction"),
    ],
)
def test_refusals_are_problem_documents(empty_api: Api, method: str, path: str, status: int, code: str) -> None:
    assert_problem(empty_api.request(method, path), status, code)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"series_uid": "\\ud800"}', b"[" * 100_000]
)
def test_bodies_that_are_no_request_are_refused(empty_api: Api, body: bytes) -> None:
    response = empty_api.post("/v1/heads/x/predictions", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert_problem(response, response.status_code, response.json()["code"])


def test_validation_errors_do_not_repeat_the_input(empty_api: Api) -> None:
    response = empty_api.get("/v1/series", params={"study_uid": "Jane Doe, born 1970"})
    assert "Doe" not in assert_problem(response, 422, "invalid_request")["detail"]
    assert "Doe" not in response.text


def test_a_crash_is_a_problem_without_internals(world: World) -> None:
    app: FastAPI = world.app()

    @app.get("/v1/crash")
    def crash() -> None:
        raise RuntimeError("password=hunter2")

    with serving(app) as api:
        body = assert_problem(api.get("/v1/crash"), 500, "internal_error")
    assert "hunter2" not in json.dumps(body)


@pytest.mark.parametrize(
    "path", ["/v1/series", "/v1/jobs", "/openapi.json", "/metrics", "/v1/nothing", "/health/", "//health"]
)
@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer wrong", "Basic test-key", "test-key", "Bearer t\u00e9st"])
def test_everything_but_health_needs_the_key(empty_api: Api, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    response = empty_api.get(path, key=None, headers=headers)
    assert_problem(response, 401, Unauthorized.code)
    assert response.headers["www-authenticate"] == "Bearer"


def test_the_key_opens(empty_api: Api) -> None:
    assert empty_api.get("/v1/jobs").json() == {"items": [], "next_cursor": None}
    assert empty_api.get("/v1/jobs", key=None, headers={"Authorization": "bearer test-key"}).status_code == 200
    assert empty_api.get("/openapi.json").json()["info"]["title"] == "slicebank"


def test_health_and_readiness_need_no_key(empty_api: Api) -> None:
    assert empty_api.get("/health", key=None).json() == {"status": "ok"}
    there = {"catalogue": True, "notifications": True, "blobs": True}
    assert empty_api.get("/ready", key=None).json() == {"status": "ready", **there}


class AwayCatalogue(Catalogue):
    """A catalogue whose database is away."""

    def ping(self) -> None:
        raise CatalogueUnavailable("the database is away")


class AwayBlobs(DirectoryBlobs):
    """Blobs whose backend is away."""

    def exists(self, key: str) -> bool:
        raise BlobsUnavailable(f"nobody can tell of {key}")


async def away_broker() -> AsyncIterator[JobNews | None]:
    raise ConnectionError("away")
    yield None


@pytest.mark.parametrize("gone", ["catalogue", "notifications", "blobs"])
def test_readiness_names_the_part_that_is_away_and_is_refused_where_no_study_could_be_taken_in(
    world: World, gone: str
) -> None:
    url = world.settings.resolved_catalogue_url
    with closing(AwayCatalogue.open(url)) as catalogue:
        away: dict[str, Any] = {
            "catalogue": {"catalogue": catalogue},
            "notifications": {"news": away_broker},
            "blobs": {"blobs": AwayBlobs(world.settings.resolved_blobs_dir)},
        }
        with serving(replace(world, **away[gone]).app()) as api:
            response = api.get("/ready", key=None)
    there = {"catalogue": True, "notifications": True, "blobs": True}
    takes_studies = gone == "blobs"
    assert response.json() == {"status": "ready" if takes_studies else "not ready", **there, gone: False}
    assert response.status_code == (200 if takes_studies else 503)


def test_an_application_without_a_key_is_not_made(world: World) -> None:
    with pytest.raises(ValueError, match="SLICEBANK_API_KEY"):
        world.app(api_key=None)


def test_request_ids_are_given_back(empty_api: Api) -> None:
    assert (
        empty_api.get("/health", headers={"X-Request-ID": "from-client.1"}).headers["x-request-id"] == "from-client.1"
    )
    made = empty_api.get("/health", headers={"X-Request-ID": "not one\t"}).headers["x-request-id"]
    assert len(made) == 32


def test_bodies_of_json_routes_are_bounded(world: World) -> None:
    with serving(world.app(max_json_bytes=1000)) as api:
        assert_problem(api.post("/v1/heads", content=b"x" * 1001), 413, "body_too_large")

        async def chunks() -> object:
            for _ in range(20):
                yield b"x" * 100

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(api.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post("/v1/heads", content=chunks(), headers={"Authorization": "Bearer test-key"})  # type: ignore[arg-type]

        assert_problem(api.call(send), 413, "body_too_large")


def test_encoders_are_listed_with_what_a_user_must_know(empty_api: Api) -> None:
    cards = empty_api.get("/v1/encoders").json()["items"]
    assert cards[0]["default"]
    for card in cards:
        assert empty_api.get(f"/v1/encoders/{card['id']}").json() == card
        assert {
            "id",
            "dim",
            "level",
            "input",
            "windows",
            "licence",
            "paper",
            "weights_digest",
            "weights",
        } <= card.keys()
        assert card["trained"] or "untrained" in card["id"] or card["weights"] != "present"


def test_the_openapi_document_tells_of_the_key_and_of_problems(empty_api: Api) -> None:
    document = empty_api.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == (path not in OPEN_PATHS)
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]
            assert "422" not in operation["responses"]
            assert len(operation["summary"]) > 3


def test_routes_are_those_of_this_version_and_no_stubs(empty_api: Api) -> None:
    paths = empty_api.get("/openapi.json").json()["paths"]
    found = {f"{method.upper()} {path.removeprefix('/v1')}" for path, methods in paths.items() for method in methods}
    assert found == {
        "GET /health", "GET /ready", "GET /metrics",
        "POST /dicomweb/studies", "POST /dicomweb/studies/{study_uid}", "GET /dicomweb/studies",
        "GET /dicomweb/series", "GET /dicomweb/studies/{study_uid}/series", "GET /dicomweb/instances",
        "GET /dicomweb/studies/{study_uid}/instances",
        "GET /dicomweb/studies/{study_uid}/series/{series_uid}/instances", "GET /dicomweb/studies/{rest}",
        "POST /series", "GET /series", "GET /series/{series_uid}", "DELETE /series/{series_uid}",
        "POST /series/{series_uid}/bags", "POST /series/check", "POST /imports", "GET /sources",
        "OPTIONS /uploads", "POST /uploads", "HEAD /uploads/{upload_id}", "PATCH /uploads/{upload_id}",
        "GET /uploads/{upload_id}", "DELETE /uploads/{upload_id}",
        "POST /groups", "GET /groups", "GET /groups/{group_id}", "POST /groups/{group_id}/jobs",
        "POST /groups/{group_id}/refusals", "POST /groups/{group_id}/cancel", "POST /groups/{group_id}/retry",
        "GET /jobs", "GET /jobs/{job_id}", "GET /jobs/{job_id}/events", "POST /jobs/{job_id}/cancel",
        "POST /jobs/{job_id}/retry",
        "GET /bags", "POST /bags", "GET /bags/{bag_id}", "DELETE /bags/{bag_id}", "GET /bags/{bag_id}/file", "POST /exports",
        "GET /encoders", "GET /encoders/{encoder_id}", "POST /encoders", "POST /encoders/{encoder_id}/verify", "DELETE /encoders/{encoder_id}", "GET /workers",
        "POST /heads", "GET /heads", "GET /heads/{head}", "DELETE /heads/{head}", "POST /heads/{head}/promote",
        "POST /heads/{head}/rollback", "POST /heads/{head}/evaluations", "GET /heads/{head}/evaluations",
        "GET /evaluations/{evaluation_id}", "GET /on_embedded", "PUT /on_embedded",
        "GET /groups/{group_id}/predictions", "GET /groups/{group_id}/predictions.csv",
        "GET /heads/{head}/predictions.csv", "GET /heads/{head}/splits.json", "GET /heads/{head}/comparison",
        "GET /heads/{head}/report", "GET /heads/{head}/plots", "GET /heads/{head}/plots/{name}", "GET /predictions/{prediction_id}/report",
        "GET /predictions/{prediction_id}/sr", "POST /predictions/{prediction_id}/sr", "GET /predictions/{prediction_id}/sc", "POST /predictions/{prediction_id}/sc",
        "POST /predictions/{prediction_id}/push",
        "POST /heads/{head}/predictions", "GET /predictions/{prediction_id}", "GET /predictions/{prediction_id}/attention.png",
    }  # fmt: skip
