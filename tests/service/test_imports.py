"""Asking for imports: what is refused before any PACS is asked. What is asked of real ones is tested with the workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from slicebank_store.errors import BadSources
from slicebank_store.pseudonyms import UidPolicy
from slicebank_store.types import JobKind
from tests.service.support import Api, World, make_world, serving

PACS = {"archive": {"kind": "dicomweb", "url": "http://127.0.0.1:9/dicom-web", "token": "SECRET"}}


@pytest.fixture
def world(tmp_path: Path, empty_catalogue: Path) -> Iterator[World]:
    with make_world(tmp_path / "data", empty_catalogue) as made:
        yield made


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    with serving(world.app(pacs=SecretStr(json.dumps(PACS)))) as running:
        yield running


def test_sources_are_listed_by_name_and_kind_alone(api: Api) -> None:
    assert api.get("/v1/sources").json() == {"items": [{"name": "archive", "kind": "dicomweb"}]}


def test_a_study_named_by_its_uid_becomes_a_job_whose_staging_says_what_to_ask(world: World, api: Api) -> None:
    answer = api.post("/v1/imports", json={"source": "archive", "study_uids": ["1.2.3", "1.2.3", "1.2.4"]})
    assert answer.status_code == 202
    assert [job["study_uid"] for job in answer.json()["jobs"]] == ["1.2.3", "1.2.4"]
    first = world.catalogue.jobs.get("default", answer.json()["jobs"][0]["job_id"])
    assert first is not None
    assert (first.kind, first.params["source"], first.study_uid) == (JobKind.IMPORT, "pacs", "1.2.3")
    (ask,) = (world.staging_dir / (first.staging or "")).iterdir()
    assert json.loads(ask.read_text())["study_uid"] == "1.2.3"
    assert ask.stat().st_mode & 0o077 == 0
    assert world.queue.job_ids == [job["job_id"] for job in answer.json()["jobs"]]


def test_hashed_projects_never_write_the_true_uid_into_the_catalogue(world: World) -> None:
    with serving(world.app(pacs=SecretStr(json.dumps(PACS)), uid_policy=UidPolicy.HASH, project="hashed")) as api:
        (job,) = api.post("/v1/imports", json={"source": "archive", "study_uids": ["1.2.3"]}).json()["jobs"]
    assert job["study_uid"].startswith("2.25.")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"source": "nowhere", "study_uids": ["1.2"]}, 404, "unknown_source"),
        ({"source": "archive"}, 422, "invalid_request"),
        ({"source": "archive", "study_uids": ["1.2"], "query": {"PatientID": "1"}}, 422, "invalid_request"),
        ({"source": "archive", "study_uids": ["../1"]}, 422, "invalid_request"),
        ({"source": "archive", "query": {"PixelData": "1"}}, 422, "bad_request"),
        ({"source": "archive", "query": {"PatientID": "1"}}, 503, "pacs_unavailable"),
        ({"source": "archive", "study_uids": ["1.2"], "encoder": "none"}, 404, "unknown_encoder"),
        ({"source": "archive", "study_uids": ["1.2"], "group": "none", "case": 0}, 404, "unknown_group"),
        ({"source": "http://elsewhere", "study_uids": ["1.2"]}, 422, "invalid_request"),
    ],
)
def test_what_cannot_be_asked(world: World, api: Api, asked: dict[str, Any], status: int, code: str) -> None:
    answer = api.post("/v1/imports", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert world.queue.job_ids == []
    assert world.staged() == {}


@pytest.mark.parametrize(
    "pacs",
    [
        "no json",
        '{"a": {"kind": "ftp"}}',
        '{"a": {"kind": "dicomweb", "url": "http://user:SECRET@host/x"}}',
        '{"a": {"kind": "dimse", "host": "h", "called_aet": "X", "retrieve": "c-move"}}',
        '{"a b": {"kind": "dimse", "host": "h", "called_aet": "X"}}',
    ],
)
def test_settings_that_are_not_usable_end_the_start_without_showing_them(world: World, pacs: str) -> None:
    with pytest.raises(BadSources) as refused:
        world.app(pacs=SecretStr(pacs))
    assert "SECRET" not in str(refused.value)


def test_a_case_that_the_group_does_not_have_is_refused(world: World, api: Api) -> None:
    group = api.post("/v1/groups", json={"key": "a" * 64, "cases": 2}).json()["group_id"]
    asked = {"source": "archive", "study_uids": ["1.2"], "group": group}
    answer = api.post("/v1/imports", json={**asked, "case": 2})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
    assert world.staged() == {}
    assert api.post("/v1/imports", json={**asked, "case": 1}).status_code == 202
