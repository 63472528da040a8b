"""Imports and sources."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from slicebank import Client, InputError
from tests.client.shell import Run
from tests.client.speaking_server import Reply, SpeakingServer, job

MADE = {"jobs": [{"job_id": "j", "study_uid": "1.2"}], "n_studies": 1}


def test_by_query_and_by_uid(client: Client, server: SpeakingServer) -> None:
    server.on("POST /v1/imports", Reply(202, MADE))
    assert client.imports.create("pacs", query={"StudyDate": "20240101"}, limit=5).job_ids == ("j",)
    assert server.requests[-1].json == {"source": "pacs", "query": {"StudyDate": "20240101"}, "limit": 5}
    client.imports.create("pacs", study_uids=["1.2"], embed=False, retain=True, priority="interactive", encoder="e")
    assert server.requests[-1].json == {
        "source": "pacs",
        "study_uids": ["1.2"],
        "embed": False,
        "retain": True,
        "priority": "interactive",
        "encoder": "e",
    }
    with pytest.raises(InputError):
        client.imports.create("pacs")


def test_the_commands(slicebank: Callable[..., Run], server: SpeakingServer) -> None:
    server.on("GET /v1/sources", {"items": [{"name": "pacs", "kind": "dicomweb"}]})
    server.on("POST /v1/imports", Reply(202, MADE))
    server.on("GET /v1/jobs/j", job("j", "succeeded", kind="import", result={"series": [{}, {}]}))
    assert "dicomweb" in slicebank("sources", "list").out
    options = ("--query", "StudyDate=20240101-20240131", "--kernel", "!*B70*", "--min-images", "20", "--largest-only")
    run = slicebank("imports", "create", "--source", "pacs", *options)
    assert run.status == 0
    assert "1.2" in run.out
    assert server.asked("POST /v1/imports")[0].json == {
        "source": "pacs",
        "query": {"StudyDate": "20240101-20240131"},
        "select": {"kernel": ["!*B70*"], "min_images": 20, "largest_only": True},
    }
    server.on("GET /v1/jobs/j", job("j", "succeeded", kind="import", result={"arrival_job_id": "a", "n_sent": 9}))
    moved = slicebank("imports", "create", "--source", "pacs", "--study-uid", "1.2")
    assert "`slicebank jobs wait a` tells its series" in moved.out
    error = {"code": "pacs_refused", "detail": "It said no."}
    server.on("GET /v1/jobs/j", job("j", "failed", kind="import", error=error))
    run = slicebank("imports", "create", "--source", "pacs", "--study-uid", "1.2")
    assert (run.status, "It said no." in run.out) == (1, True)
    assert slicebank("imports", "create", "--source", "pacs", "--query", "StudyDate").status == 2
    server.on("GET /v1/jobs", {"items": [], "next_cursor": None})
    slicebank("jobs", "list", "--study-uid", "1.2")
    assert server.requests[-1].query["study_uid"] == "1.2"
