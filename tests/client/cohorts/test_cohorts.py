"""Cohorts: a table in, one group, each case once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from slicebank import BadTable, Client, InputError, errors
from slicebank.cohorts.table import Case, cohort_key, read_cohort
from tests.client.resources.test_series import DICOM, accepted
from tests.client.shell import Run
from tests.client.speaking_server import Reply, Request, SpeakingServer, problem

GROUP = {
    "group_id": "g",
    "key": "0" * 64,
    "cases": 3,
    "progress": {"done": 3, "total": 3, "unit": "cases"},
    "jobs": {"queued": 0, "succeeded": 2, "failed": 1},
    "failures": [{"case": 1, "job_id": "j", "code": "decode_failed", "detail": "Nothing decoded."}],
    "created_at": "2024-05-01T10:00:00.000Z",
    "state": "finished",
}


def table(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir()
        (root / name / "1.dcm").write_bytes(DICOM + name.encode())
    path = root / "cohort.csv"
    path.write_text("case;path;lesion\n" + "".join(f"{n};{name};1\n" for n, name in enumerate(names)))
    return path


def answering(server: SpeakingServer) -> None:
    server.on("POST /v1/groups", GROUP)
    server.on("GET /v1/groups/g", GROUP)
    server.on("POST /v1/series", Reply(202, accepted()))


def test_cases_are_read_beside_the_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Path,patient,study_uid\na/b,P1,\n/c,,\n,,1.2.3\n")
    assert read_cohort(path) == (Case(tmp_path / "a/b", None, "P1"), Case(Path("/c")), Case(None, "1.2.3"))
    assert read_cohort([{"path": "/c"}]) == (Case(Path("/c")),)


@pytest.mark.parametrize("text", ["", "path\n", "a,b\n1,2\n", "path,study_uid\nx,1.2\n", "path,study_uid\n,\n"])
def test_tables_that_make_no_cohort(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(BadTable):
        read_cohort(path)


def test_the_key_names_rows_and_what_is_asked() -> None:
    cases = [Case(Path("/a")), Case(Path("/b"))]
    assert cohort_key(cases, encoder="e") == cohort_key(cases, encoder="e", source=None)
    others = {cohort_key(cases, encoder="f"), cohort_key(cases[:1], encoder="e"), cohort_key(cases[::-1], encoder="e")}
    assert cohort_key(cases, encoder="e") not in others
    assert len(others) == 3


def test_each_case_is_sent_once(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    answering(server)
    path = table(tmp_path, "a", "b", "c")
    made = client.cohorts.submit(path, encoder="e", retain=True)
    assert made.counts == {"sent": 3}
    assert server.asked("POST /v1/groups")[0].json["cases"] == 3
    sent = server.asked("POST /v1/series")
    assert {request.query["case"] for request in sent} == {"0", "1", "2"}
    assert {request.query["group"] for request in sent} == {"g"}
    assert client.cohorts.submit(path, encoder="e", retain=True).counts == {"done_before": 3}
    (tmp_path / "b" / "2.dcm").write_bytes(DICOM)
    assert client.cohorts.submit(path, encoder="e", retain=True).counts == {"done_before": 2, "sent": 1}
    assert len(server.asked("POST /v1/series")) == 4


def test_what_is_wrong_with_a_case_is_its_own(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    answering(server)
    path = table(tmp_path, "a", "b")
    path.write_text(path.read_text() + "2;nowhere;0\n")
    rejected = [{"name": "b/1.dcm", "code": "not_ct", "detail": "It is MR."}]

    def judge(request: Request) -> Reply:
        if request.query["case"] == "1":
            return problem(422, "nothing_usable", "No.", rejected=rejected)
        return Reply(202, accepted())

    server.on("POST /v1/series", judge)
    made = client.cohorts.submit(path)
    assert [(str(item.state), item.code) for item in made] == [
        ("sent", ""),
        ("refused", "not_ct"),
        ("failed", "path_not_found"),
    ]


def test_what_is_wrong_with_all_is_raised(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    answering(server)
    server.on("POST /v1/series", problem(404, "unknown_encoder", "There is no encoder."))
    with pytest.raises(errors.NotFound):
        client.cohorts.submit(table(tmp_path, "a", "b"))
    with pytest.raises(InputError):
        client.cohorts.submit([{"study_uid": "1.2"}])


def test_what_the_server_has_joins_without_being_sent(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    answering(server)
    known = {"series_uid": "1.2", "bag_id": "b", "job_id": "j", "state": "succeeded"}
    server.on("POST /v1/series/check", lambda request: Reply(body={"known": {request.json["sha256"][0]: [known]}}))
    path = table(tmp_path, "a")
    assert client.cohorts.submit(path, encoder="e").counts == {"sent": 1}, "this server cannot let it join"
    server.on("POST /v1/groups/g/jobs", Reply(204))
    assert client.cohorts.submit(path, encoder="f").counts == {"done_before": 1}
    (tmp_path / "a" / "2.dcm").write_bytes(DICOM)
    assert client.cohorts.submit(path, encoder="f").counts == {"known": 1}
    assert server.asked("POST /v1/groups/g/jobs")[0].json == {"case": 0, "job_ids": ["j"]}


def test_studies_are_pulled(client: Client, server: SpeakingServer) -> None:
    answering(server)
    server.on("POST /v1/imports", Reply(202, {"jobs": [{"job_id": "j", "study_uid": "1.2"}], "n_studies": 1}))
    made = client.cohorts.submit([{"study_uid": "1.2"}], source="pacs", select={"min_images": 20})
    assert made.outcomes[0].job_ids == ("j",)
    assert server.asked("POST /v1/imports")[0].json == {
        "source": "pacs",
        "study_uids": ["1.2"],
        "select": {"min_images": 20},
        "group": "g",
        "case": 0,
    }


def test_nothing_of_the_table_is_remembered_in_clear(
    client: Client, server: SpeakingServer, tmp_path: Path, state_dir: Path
) -> None:
    answering(server)
    client.cohorts.submit(table(tmp_path, "Mustermann"))
    for path in state_dir.rglob("*"):
        assert "Mustermann" not in str(path)
        assert path.is_dir() or "Mustermann" not in path.read_text()


def test_the_command(slicebank: Callable[..., Run], server: SpeakingServer, tmp_path: Path) -> None:
    answering(server)
    server.on("GET /v1/groups", {"items": [GROUP], "next_cursor": None})
    server.on("POST /v1/groups/g/cancel", Reply(202, {}))
    server.on("POST /v1/groups/g/retry", Reply(202, {}))
    run = slicebank("cohort", "submit", table(tmp_path, "a", "b", "c"))
    assert run.status == 1, "a job of it failed"
    assert "3 sent." in run.out
    assert "decode_failed" in run.out
    assert "3 of 3 done" in run.out
    assert json.loads(slicebank("cohort", "list", "--json").out)["items"][0]["group_id"] == "g"
    assert "Nothing decoded." in slicebank("cohort", "failures", "g").out
    assert "finished" in slicebank("cohort", "list").out
    for word in ("show", "cancel", "retry"):
        assert "finished" in slicebank("cohort", word, "g").out


def test_the_command_tells_of_cases_that_could_not_be_sent(
    slicebank: Callable[..., Run], server: SpeakingServer, tmp_path: Path
) -> None:
    answering(server)
    stuck = {**GROUP, "progress": {"done": 2, "total": 3, "unit": "cases"}, "state": "running", "failures": []}
    server.on("GET /v1/groups/g", stuck)
    path = table(tmp_path, "a", "b")
    path.write_text(path.read_text() + "2;nowhere;0\n")
    run = slicebank("cohort", "submit", path)
    assert run.status == 1
    [told] = [line for line in run.out.splitlines() if line.startswith("path_not_found")]
    assert told.split()[:3] == ["path_not_found", "1", "3"], "one case, row 3"
    assert "1; `slicebank cohort submit` with the same table says why" in slicebank("cohort", "show", "g").out
    server.on("GET /v1/groups/g", {**stuck, "jobs": {"running": 1}})
    assert "says why" not in slicebank("cohort", "show", "g").out
