"""Commands against a server that speaks the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slicebank.cli.paths import existing_path
from tests.client.resources.test_heads import ANSWER, STARTED
from tests.client.resources.test_series import accepted, folder
from tests.client.resources.test_workers import EMBED, TRAIN
from tests.client.shell import Run
from tests.client.speaking_server import Reply, SpeakingServer, bag_answer, job, problem

Shell = Callable[..., Run]
BAG = "b" * 32
HEAD: dict[str, Any] = {
    "head_id": "h",
    "name": "liver",
    "version": 1,
    "promoted": True,
    "task": {"kind": "binary", "labels": ["lesion"]},
    "metrics": {
        "mean": {"auroc": 0.91, "f1": 0.8},
        "sd": {"auroc": 0.02},
        "test": {"auroc": 0.88, "f1": 0.7, "auprc": None},
        "warnings": ["few cases", "few positives"],
    },
}


def test_upload_waits_and_tells(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    answer = accepted()
    answer["rejected"] = [{"name": "study/scout", "code": "localizer", "detail": "It is a localizer."}]
    server.on("POST /v1/series", Reply(202, answer))
    server.on("GET /v1/jobs/job-1.2.3", job("job-1.2.3", "running"), job("job-1.2.3", "succeeded"))
    root = folder(tmp_path, "1", "2")
    (root / "notes.txt").write_text("x")
    run = slicebank("upload", root, "--encoder", "dummy", "--stack", "all", "--assume-rescale", "1,-1024")
    assert run.status == 0
    assert "1.2.3" in run.out
    assert "succeeded" in run.out
    assert "1 file refused, localizer: It is a localizer. (study/scout)" in run.err
    assert "1 file not sent: a .txt file, not DICOM (study/notes.txt)" in run.err
    [sent] = server.asked("POST /v1/series")
    query = {"encoder": "dummy", "stack": "all", "assume_rescale": "1.0,-1024.0"}
    assert sent.query == {**query, "digest": sent.query["digest"]}


def test_upload_for_scripts(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", Reply(202, accepted()))
    server.on("GET /v1/jobs/job-1.2.3", job("job-1.2.3", "succeeded", result={"bag_id": "b"}))
    run = slicebank("upload", folder(tmp_path, "1"), "--json")
    assert run.json["series"][0]["new_in_some_later_version"] is True
    assert run.json["jobs"][0]["result"] == {"bag_id": "b"}
    assert run.json["rejected"] == run.json["skipped"] == []
    assert run.err == ""


def test_upload_without_waiting(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", Reply(202, accepted()))
    assert slicebank("upload", folder(tmp_path, "1"), "--no-wait").status == 0
    assert server.asked("GET /v1/jobs/job-1.2.3") == []


def test_a_tilde_that_the_shell_left_is_the_home_folder(
    slicebank: Shell, server: SpeakingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path, "1")
    server.on("POST /v1/series", Reply(202, accepted()))
    assert slicebank("upload", "~/study", "--no-wait").status == 0
    assert existing_path("~/study") == tmp_path / "study"
    for arguments in (("upload", "~/nothing"), ("demo", "--data=~/nothing"), ("upload", "~nobody-of-this-name/x")):
        run = slicebank(*arguments)
        assert run.status == 2
        assert "does not exist" in run.err


def test_upload_fails_with_its_job(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", Reply(202, accepted()))
    error = {"code": "decode_failed", "detail": "Nothing decoded."}
    server.on("GET /v1/jobs/job-1.2.3", job("job-1.2.3", "failed", error=error))
    run = slicebank("upload", folder(tmp_path, "1"))
    assert run.status == 1
    assert "Nothing decoded." in run.out


def test_upload_of_nothing_usable_names_the_reasons(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    refused = [{"name": "study/1", "code": "not_ct", "detail": "It is MR."}]
    server.on("POST /v1/series", problem(422, "nothing_usable", "No file is usable.", rejected=refused))
    run = slicebank("upload", folder(tmp_path, "1"))
    assert run.status == 1
    assert "1 file refused, not_ct: It is MR. (study/1)" in run.err
    run = slicebank("upload", folder(tmp_path, "1"), "--json")
    assert run.json["error"]["rejected"][0]["code"] == "not_ct"


@pytest.mark.parametrize(
    "options",
    [("--stack", "x"), ("--priority", "soon"), ("--force", "ct"), ("--assume-rescale", "1")],
    ids=lambda options: options[0].removeprefix("--"),
)
def test_upload_options_that_make_no_sense(slicebank: Shell, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert slicebank("upload", folder(tmp_path, "1"), *options).status == 2


def test_upload_names_the_series_that_is_warned_of_or_refused_and_sums_up(
    slicebank: Shell, server: SpeakingServer, tmp_path: Path
) -> None:
    answer = accepted(warnings=["the series holds 2 stacks"])
    answer["rejected"] = [{"name": "study/2", "code": "not_axial", "detail": "It is coronal."}]
    answer["refused_series"] = [{"series_uid": "1.2.4", "code": "not_axial", "detail": "It is coronal.", "n_files": 1}]
    server.on("POST /v1/series", Reply(202, answer))
    run = slicebank("upload", folder(tmp_path, "1", "2"), "--no-wait")
    assert "Warning: the series holds 2 stacks (1.2.3)" in run.err
    assert "Series 1.2.4 refused, not_axial (1 file)" in run.err
    assert "In all: 1 series taken (2 slices), 1 file refused, 0 not sent." in run.err
    refused = {"rejected": answer["rejected"], "refused_series": answer["refused_series"]}
    server.on("POST /v1/series", problem(422, "nothing_usable", "No file is usable.", **refused))
    assert "Series 1.2.4 refused, not_axial (1 file)" in slicebank("upload", folder(tmp_path, "1")).err
    run = slicebank("upload", folder(tmp_path, "1"), "--json")
    assert run.json["error"]["refused_series"][0]["series_uid"] == "1.2.4"


def test_a_refusal_says_what_lists_or_admits(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/series", problem(404, "unknown_encoder", "There is no encoder."))
    assert "`slicebank encoders list`" in slicebank("upload", folder(tmp_path, "1")).err
    rejected = [{"name": "study/1", "code": "not_hu", "detail": "These are labels."}]
    server.on("POST /v1/series", problem(422, "nothing_usable", "No file is usable.", rejected=rejected))
    assert "--force not_hu" in slicebank("upload", folder(tmp_path, "1")).err


def test_a_job_of_an_import_tells_its_series_line_by_line(slicebank: Shell, server: SpeakingServer) -> None:
    series = [{"series_uid": f"1.2.{number}", "n_slices": 7, "warnings": []} for number in range(11)]
    result = {"series": series, "rejected": [], "n_rejected": 0}
    server.on("GET /v1/jobs/j", job("j", "succeeded", kind="import", result=result))
    out = slicebank("jobs", "show", "j").out
    assert "series: series_uid 1.2.9, n_slices 7" in out
    assert "series: 1 more, which --json lists" in out
    assert "n_rejected 0" in out


def test_series(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/series", {"items": [{"series_uid": "1.2", "n_slices": 7}], "next_cursor": None})
    server.on("GET /v1/series/1.2", {"series_uid": "1.2", "geometry": {"gantry_tilt_deg": 18.5, "slice_gaps": []}})
    server.on("DELETE /v1/series/1.2", Reply(204))
    server.on("POST /v1/series/1.2/bags", Reply(202, {"job_id": "j", "bag_id": "b"}))
    assert "1.2" in slicebank("series", "list").out
    assert slicebank("series", "list", "--json").json["items"][0]["n_slices"] == 7
    assert "18.5" in slicebank("series", "show", "1.2").out
    assert slicebank("series", "delete", "1.2", "--yes").status == 0
    assert "jobs wait j" in slicebank("series", "embed", "1.2", "--window", "lung").out


def test_jobs(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/jobs", {"items": [job("j", "queued", queue_position=1)], "next_cursor": None})
    server.on("GET /v1/jobs/j", job("j", "failed", error={"code": "decode_failed", "detail": "No."}))
    server.on("POST /v1/jobs/j/cancel", job("j", "cancelled"))
    server.on("POST /v1/jobs/j/retry", problem(409, "not_retryable", "Its files are gone."))
    assert "queued" in slicebank("jobs", "list", "--state", "queued").out
    assert "decode_failed" in slicebank("jobs", "show", "j").out
    run = slicebank("jobs", "wait", "j", "--json")
    assert (run.status, run.json["items"][0]["state"]) == (1, "failed")
    assert slicebank("jobs", "cancel", "j").status == 0
    run = slicebank("jobs", "retry", "j")
    assert run.status == 1
    assert "Its files are gone." in run.err


def test_a_job_says_what_held_it_back(slicebank: Shell, server: SpeakingServer) -> None:
    stages = {"decode_s": 4.0, "encode_s": 0.5, "encode_wait_s": 0.1, "decode_wait_s": 1.5, "write_s": 0.01}
    server.on("GET /v1/jobs/j", job("j", "succeeded", stages=stages))
    run = slicebank("jobs", "show", "j")
    assert "decode 4.00 s, encode 0.50 s, encode wait 0.10 s, decode wait 1.50 s, write 0.01 s" in run.out
    assert "decoding: the job stood still 1.50 s for decoded slices and 0.10 s for the encoder" in run.out
    assert "decoding" in slicebank("jobs", "wait", "j").out
    server.on("GET /v1/jobs/j", job("j", "succeeded", stages={"decode_s": 4.0}))
    assert "bound by" not in slicebank("jobs", "show", "j").out


def test_workers(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/workers", {"items": [EMBED, TRAIN]})
    run = slicebank("workers", "list")
    header, embed, train = run.out.splitlines()
    assert header.split() == ["role", "name", "device", "jobs", "rows/s", "busy", "%", "bound", "by", "seen"]
    assert embed.split()[:7] == ["embed", "host:embed:7", "cpu", "2", "12346", "93", "device"]
    assert train.split()[:4] == ["train", "host:train:8", "0", "0"]
    assert slicebank("workers", "list", "--json").json["items"][0] == EMBED


def test_no_worker_at_all_says_what_to_do(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/workers", {"items": []})
    assert slicebank("workers", "list").out == "No worker is running; start one with `slicebank serve`.\n"
    assert slicebank("workers", "list", "--json").json == {"items": []}


def test_bags(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("GET /v1/bags", {"items": [bag_answer(b"x")], "next_cursor": None})
    server.on(f"GET /v1/bags/{BAG}", bag_answer(b"x"))
    server.on(f"GET /v1/bags/{BAG}/file", Reply(200, b"x"))
    server.on(f"DELETE /v1/bags/{BAG}", Reply(204))
    assert BAG in slicebank("bags", "list").out
    assert "lung -1500..500 HU" in slicebank("bags", "show", BAG).out
    run = slicebank("bags", "download", BAG, "-o", tmp_path / "a.h5", "--json")
    assert run.json == {"files": [str(tmp_path / "a.h5")]}
    assert (tmp_path / "a.h5").read_bytes() == b"x"
    assert slicebank("bags", "delete", BAG, "-y").status == 0


def test_encoders_are_called_untrained_where_they_are(slicebank: Shell, server: SpeakingServer) -> None:
    card = {"id": "mambaout", "dim": 288, "weights": "seeded", "trained": False, "default": True, "windows": ["lung"]}
    server.on("GET /v1/encoders", {"items": [card]})
    server.on("GET /v1/encoders/mambaout", card)
    assert "UNTRAINED" in slicebank("encoders", "list").out
    assert "UNTRAINED" in slicebank("encoders", "show", "mambaout").out


def test_heads(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("series_uid,lesion\n1.2,1\n1.3,0\n")
    server.on("POST /v1/heads", STARTED)
    server.on("GET /v1/jobs/j", job("j", "succeeded", result={"head_id": "h"}))
    server.on("GET /v1/heads/h", HEAD)
    server.on("GET /v1/heads", {"items": [HEAD], "next_cursor": None})
    server.on("POST /v1/heads/h/promote", HEAD)
    server.on("DELETE /v1/heads/h", Reply(204))
    run = slicebank("heads", "train", "liver", path, "--label", "lesion", "--set", "folds=3", "--set", "windows=full")
    assert run.status == 0, run.err
    assert "AUROC 0.910 ± 0.020" in run.out
    assert "few cases" in run.err
    assert server.requests[0].json["training"] == {"folds": 3, "windows": "full"}
    assert run.err.count("few cases") == 1, "each warning is said once"
    assert "few positives" in run.err
    assert "liver *" in slicebank("heads", "list").out
    shown = slicebank("heads", "show", "h")
    assert "AUROC 0.880, F1 0.700" in shown.out
    assert "Warning: few cases" in shown.err
    server.on("GET /v1/heads/h", {**HEAD, "metrics": {**HEAD["metrics"], "test": None, "warnings": []}})
    shown = slicebank("heads", "show", "h")
    assert "test" not in shown.out
    assert shown.err == ""
    assert slicebank("heads", "show", "h", "--json").json["name"] == "liver"
    assert slicebank("heads", "promote", "h").status == 0
    assert slicebank("heads", "delete", "h", "-y").status == 0
    assert slicebank("heads", "train", "liver", path, "--set", "folds").status == 2


def test_predict_saves_pages_and_objects(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/heads/liver/predictions", ANSWER)
    server.on("GET /v1/predictions/p/report", Reply(200, b"<!doctype html>", "text/html"))
    server.on("POST /v1/predictions/p/sr", Reply(200, b"SR", "application/dicom"))
    server.on("GET /v1/predictions/p/sr", Reply(200, b"nobody's", "application/dicom"))
    server.on("POST /v1/predictions/p/sc", Reply(200, b"SC", "application/dicom"))
    pushed = {
        "pacs": "archive",
        "study_uid": "1.9",
        "objects": [{"kind": "sr", "series_uid": "1", "sop_instance_uid": "2"}],
    }
    server.on("POST /v1/predictions/p/push", pushed)
    like = tmp_path / "slice.dcm"
    like.write_bytes(b"x" * (5 << 20))
    files = {kind: tmp_path / f"out.{kind}" for kind in ("report", "sr", "sc")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    run = slicebank("predict", "liver", "1.2", *options, "--like", like, "--push", "archive")
    assert run.status == 0, run.err
    assert [path.read_bytes() for path in files.values()] == [b"<!doctype html>", b"SR", b"SC"]
    [sent] = server.asked("POST /v1/predictions/p/sr")
    # The header precedes the pixels.
    assert len(sent.body) == 4 << 20
    assert (sent.headers["content-type"], sent.headers["accept"]) == ("application/dicom", "application/dicom")
    assert server.asked("POST /v1/predictions/p/push")[0].json == {"pacs": "archive", "objects": ["sr", "sc"], "top": 5}
    assert "Sent to archive: 1 objects." in run.out
    assert "name no patient" not in run.out
    run = slicebank("predict", "liver", "1.2", "--sr", files["sr"])
    assert files["sr"].read_bytes() == b"nobody's"
    assert "name no patient" in run.out
    assert slicebank("predict", "liver", "1.2", "--sr", files["sr"], "--json").json["sr"] == str(files["sr"])
    assert slicebank("predict", "liver", "1.2", "--like", like).status == 1


def test_report_and_figures_of_a_head(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("GET /v1/heads/liver/report", Reply(200, b"<!doctype html>", "text/html"))
    server.on(
        "GET /v1/heads/liver/plots", {"items": [{"name": "roc", "part": "pooled"}, {"name": "roc", "part": "test"}]}
    )
    server.on("GET /v1/heads/liver/plots/roc", Reply(200, b"<svg/>", "image/svg+xml"))
    page, folder_of_plots = tmp_path / "page.html", tmp_path / "plots"
    assert slicebank("heads", "report", "liver", "--out", page).status == 0
    assert page.read_text() == "<!doctype html>"
    assert slicebank("heads", "plots", "liver", "--out", folder_of_plots).status == 0
    assert sorted(path.name for path in folder_of_plots.iterdir()) == ["roc.svg", "roc_test.svg"]
    assert [asked.query for asked in server.asked("GET /v1/heads/liver/plots/roc")] == [
        {"part": "pooled"},
        {"part": "test"},
    ]
    server.on("GET /v1/heads/liver/plots/roc", Reply(200, b"<svg/>", "image/svg+xml"))
    assert slicebank("heads", "report", "liver", "--out", page, "--json").json == {"report": str(page)}


def test_predict(slicebank: Shell, server: SpeakingServer, tmp_path: Path) -> None:
    server.on("POST /v1/heads/liver/predictions", ANSWER)
    server.on("GET /v1/predictions/p/attention.png", Reply(200, b"\x89PNG", "image/png"))
    run = slicebank("predict", "liver", "1.2", "--picture", tmp_path / "a.png", "--top", "1")
    assert run.status == 0
    assert "lesion" in run.out
    assert "0.9" in run.out
    assert (tmp_path / "a.png").read_bytes() == b"\x89PNG"
    assert "reads the scan as a whole" not in run.out
    server.on("POST /v1/heads/liver/predictions", {**ANSWER, "attention": {}})
    assert "reads the scan as a whole" in slicebank("predict", "liver", "1.2", "--picture", tmp_path / "b.png").out
    server.on("POST /v1/heads/liver/predictions", ANSWER)
    run = slicebank("predict", "liver", "--bag", "b", "--json")
    assert run.json["outputs"][0]["probability"] == 0.9
    assert slicebank("predict", "liver").status == 1


def test_empty_lists_say_what_to_do(slicebank: Shell, server: SpeakingServer) -> None:
    for noun in ("series", "bags", "heads", "jobs"):
        server.on(f"GET /v1/{noun}", {"items": [], "next_cursor": None})
        assert "There are no" in slicebank(noun, "list").out


def test_markup_in_names_is_shown_and_not_obeyed(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/heads", {"items": [{**HEAD, "name": "[red]x[/blue]"}], "next_cursor": None})
    assert "[red]x[/blue]" in slicebank("heads", "list").out
