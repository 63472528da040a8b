"""`slicebank benchmark` before anything is sent: tasks, and what is missing in a sentence."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.benchmark.layouts import write_nsclc
from tests.client.shell import Run
from tests.client.speaking_server import SpeakingServer

Command = Callable[..., Run]


def test_tasks_are_listed_and_shown(shell: Command) -> None:
    listed = shell("benchmark", "--list", "--json")
    assert {item["name"] for item in json.loads(listed.out)["items"]} == {
        "deeplesion_sites",
        "radchest_findings",
        "nsclc_stage",
    }
    assert "nsclc_stage" in shell("benchmark", "--list").out
    shown = shell("benchmark", "--show", "nsclc_stage")
    assert tomllib.loads(shown.out)["dataset"] == "nsclc_radiomics"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name a task."),
        (("--task", "nowhere", "--encoders", "dummy"), "nowhere is no task that ships"),
        (("--task", "nsclc_stage", "--encoders", "dummy"), "needs --data"),
        (("--task", "nsclc_stage", "--data", "."), "Name encoders"),
        (("--task", "nsclc_stage", "--data", "gone", "--encoders", "dummy"), "gone is no folder"),
        (("--show", "nowhere"), "nowhere is no task that ships"),
    ],
)
def test_what_is_missing_is_said(
    slicebank: Command,
    server: SpeakingServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = slicebank("benchmark", *arguments)
    assert done.status == 1
    assert said in done.err
    assert not server.requests


def test_an_encoder_without_weights_is_told_before_anything_is_sent(
    slicebank: Command, server: SpeakingServer, tmp_path: Path
) -> None:
    server.on("GET /v1/encoders/big", {"id": "big", "weights": "missing", "how_to_get": "slicebank encoders pull big"})
    folder = write_nsclc(tmp_path / "nsclc", ["I"])
    done = slicebank(
        "benchmark", "--task", "nsclc_stage", "--data", folder, "--encoders", "big", "--out", tmp_path / "out"
    )
    assert done.status == 1
    assert "Encoder big has no weights" in done.err
    assert "encoders pull big" in done.err
    assert [request.path for request in server.requests] == ["/v1/encoders/big"]
    assert not (tmp_path / "out").exists()


def test_no_known_label_is_told_before_anything_is_sent(
    slicebank: Command, server: SpeakingServer, tmp_path: Path
) -> None:
    server.on("GET /v1/encoders/dummy", {"id": "dummy", "weights": "none"})
    folder = write_nsclc(tmp_path / "nsclc", ["NA", "NA"])
    done = slicebank("benchmark", "--task", "nsclc_stage", "--data", folder, "--encoders", "dummy")
    assert done.status == 1
    assert "No case of nsclc_radiomics has a known label; 2 cases were looked at." in done.err
