"""Commands about trained heads, against a server that speaks the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slicebank import Client, errors
from tests.client.cli.test_commands import HEAD, Shell
from tests.client.resources.test_heads import STARTED
from tests.client.speaking_server import Reply, SpeakingServer, job, problem

GROUP: dict[str, Any] = {
    "group_id": "g",
    "key": "0" * 64,
    "cases": 3,
    "progress": {"done": 3, "total": 3, "unit": "cases"},
    "jobs": {"succeeded": 2},
    "failures": [],
    "state": "finished",
}
CASES: dict[str, Any] = {
    "items": [
        {"case": 0, "state": "succeeded", "series_uid": "1.1", "in_training": True, "outputs": [{"label": "lesion", "probability": 0.25}]},
        {"case": 1, "state": "succeeded", "series_uid": "1.2", "outputs": [{"label": "lesion", "probability": 0.75}]},
        {"case": 2, "state": "failed", "outputs": [], "error": {"code": "unknown_series", "detail": "There is no series 1.3."}},
    ]
}  # fmt: skip


def test_train_with_a_head_and_a_protocol(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/heads", STARTED)
    labels, splits = tmp_path / "labels.csv", tmp_path / "splits.json"
    labels.write_text("patient,days,event,hospital\nP1,10,1,a\n")
    splits.write_text('{"splits": []}')
    run = slicebank(
        "heads", "train", "risk", labels, "--task", "survival", "--architecture", "clam_sb", "--head", "width=128",
        "--pooling", "one_bag", "--calibration", "none", "--sites", "hospital", "--splits", splits,
        "--protocol", "repeats=3", "--set", "folds=3", "--no-wait",
    )  # fmt: skip
    assert run.status == 0, run.err
    [sent] = server.asked("POST /v1/heads")
    assert sent.json["task"] == {"kind": "survival", "labels": []}
    assert sent.json["head"] == {"width": 128, "architecture": "clam_sb"}
    assert sent.json["protocol"] == {
        "repeats": 3, "pooling": "one_bag", "calibration": "none", "site_column": "hospital", "preserve_sites": True,
        "splits": {"splits": []},
    }  # fmt: skip


def test_a_refusal_of_labels_is_shown_whole(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    sentence = (
        "1 rows of the labels (1.2) name bags of dummy that were made otherwise than this head reads: size 448, not 224"
    )
    server.on("POST /v1/heads", problem(422, "recipe_mixed", sentence))
    labels = tmp_path / "labels.csv"
    labels.write_text("series_uid,lesion\n1.2,1\n")
    run = slicebank("heads", "train", "n", labels)
    assert run.status == 1
    assert sentence in " ".join(run.err.split())


def test_rolling_back(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("POST /v1/heads/liver/rollback", Reply(200, HEAD))
    assert "liver now means version 1 again" in slicebank("heads", "rollback", "liver").out


def test_evaluating(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    started = {"evaluation_id": "e", "job_id": "j", "n_cases": 2, "leakage": {"left_out": 1, "patients": 1}, "warnings": ["1 case of 1 patient is left out."]}  # fmt: skip
    done = {"evaluation_id": "e", "name": "B", "state": "succeeded", "n_cases": 2, "metrics": {"auroc": 0.9, "intervals": {"auroc": [0.8, 0.95]}}}  # fmt: skip
    server.on("POST /v1/heads/liver/evaluations", Reply(202, started))
    server.on("GET /v1/jobs/j", job("j", "succeeded"))
    server.on("GET /v1/evaluations/e", Reply(200, done))
    server.on("GET /v1/heads/liver/evaluations", Reply(200, {"items": [done], "next_cursor": None}))
    labels = tmp_path / "labels.csv"
    labels.write_text("series_uid,lesion\n1.2,1\n")
    run = slicebank("heads", "evaluate", "liver", labels, "--name", "B", "--strict")
    assert (run.status, "left out" in run.err) == (0, True)
    assert "AUROC 0.900" in run.out
    assert "AUROC 0.800 to 0.950" in run.out
    [sent] = server.asked("POST /v1/heads/liver/evaluations")
    assert (sent.json["name"], sent.json["strict"], sent.json["keep_learnt"]) == ("B", True, False)
    assert "AUROC 0.900" in slicebank("heads", "evaluations", "liver").out


def test_heads_of_new_bags(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/on_embedded", Reply(200, {"items": []}))
    server.on("PUT /v1/on_embedded", Reply(200, {"items": [{"head": "liver"}]}))
    assert "No head" in slicebank("heads", "on-embedded").out
    assert "liver" in slicebank("heads", "on-embedded", "liver").out
    assert slicebank("heads", "on-embedded", "--none").status == 0
    assert [sent.json for sent in server.asked("PUT /v1/on_embedded")] == [{"heads": ["liver"]}, {"heads": []}]
    assert slicebank("heads", "on-embedded", "liver", "--none").status == 1


def test_a_cohort(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/heads/liver/predictions", Reply(202, GROUP))
    server.on("GET /v1/groups/g", Reply(200, GROUP))
    server.on("GET /v1/groups/g/predictions", Reply(200, CASES))
    server.on("GET /v1/groups/g/predictions.csv", Reply(200, b"case\n0\n"))
    cases, out = tmp_path / "cases.csv", tmp_path / "out.csv"
    cases.write_text("\ufeffseries_uid;note\n1.1;x\n1.2;\n1.3;\n\n")
    run = slicebank("predict", "liver", "--cohort", cases)
    assert run.status == 0, run.err
    assert [sent.json for sent in server.asked("POST /v1/heads/liver/predictions")] == [
        {"cohort": [{"series_uid": "1.1"}, {"series_uid": "1.2"}, {"series_uid": "1.3"}]}
    ]
    assert "0.75" in run.out
    assert "Case 2: There is no series 1.3. [unknown_series]" in " ".join(run.err.split())
    assert "has learnt from the patients of 1 cases" in " ".join(run.err.split())
    assert slicebank("predict", "liver", "--cohort", cases, "--csv", out).status == 0
    assert out.read_text() == "case\n0\n"
    assert slicebank("predict", "liver", "1.2", "--cohort", cases).status == 2


@pytest.mark.parametrize("text", ["", "name\nx\n", "series_uid\n", "series_uid\n,\n"])
def test_a_cohort_that_names_nothing(slicebank: Shell, tmp_path: Path, text: str) -> None:
    (tmp_path / "cases.csv").write_text(text)
    assert slicebank("predict", "liver", "--cohort", tmp_path / "cases.csv").status == 1


def test_nothing_to_go_back_to(client: Client, server: SpeakingServer) -> None:
    server.on("POST /v1/heads/liver/rollback", problem(409, "no_earlier_version", "liver meant no other version."))
    with pytest.raises(errors.Conflict, match="no other version"):
        client.heads.rollback("liver")
