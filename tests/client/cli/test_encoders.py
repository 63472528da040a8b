"""`slicebank encoders` against a server that speaks the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slicebank import Client, Conflict, NotAuthorised
from tests.client.shell import Run
from tests.client.speaking_server import Reply, SpeakingServer, job, problem

Shell = Callable[..., Run]

CARDS: list[dict[str, Any]] = [
    {"id": "femto.untrained", "dim": 288, "weights": "seeded", "default": True, "parameters": 5_816_304},
    {
        "id": "biomedclip",
        "dim": 512,
        "weights": "missing",
        "licence": "MIT",
        "parameters": 86_000_000,
        "source": {"repo": "microsoft/BiomedCLIP", "file": "open_clip_pytorch_model.bin", "gated": False},
        "how_to_get": "Get them with `slicebank encoders pull biomedclip`.",
    },
    {"id": "mine", "dim": 16, "weights": "missing", "registered": True},
    {"id": "other", "dim": 16, "weights": "missing"},
]


@pytest.fixture
def cards(server: SpeakingServer) -> None:
    server.on("GET /v1/encoders", {"items": CARDS, "problems": {"odd": "The card of encoder odd cannot be read."}})


def test_the_list(slicebank: Shell, cards: None) -> None:
    shown = slicebank("encoders", "list")
    for words in ("5.8 M", "seeded, UNTRAINED", "missing, pull", "lost", "missing, add", "288-d", "MIT"):
        assert words in shown.out
    assert "odd cannot be read" in shown.err
    shown = slicebank("encoders", "list", "--installed")
    assert "biomedclip" not in shown.out
    assert "femto.untrained" in shown.out
    assert slicebank("encoders", "list", "--json").json["items"][1]["id"] == "biomedclip"


def test_the_card(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/encoders/biomedclip", CARDS[1])
    shown = slicebank("encoders", "show", "biomedclip").out
    for words in ("microsoft/BiomedCLIP", "encoders pull biomedclip", "MIT", "missing, pull"):
        assert words in shown


def test_the_card_of_a_scan_encoder(slicebank: Shell, server: SpeakingServer) -> None:
    read = {"kind": "volume", "size": 0, "mean": [], "interpolation": "bilinear", "volume": {"size": [224, 224, 160]}}
    server.on("GET /v1/encoders/merlin", {"id": "merlin", "input": read, "row_bytes": 2_500_000_000})
    shown = slicebank("encoders", "show", "merlin").out
    assert "kind volume, volume size 224, 224, 160" in shown
    assert "bilinear" not in shown
    assert "2.5 GB" in shown


def test_pulling_at_the_server(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("POST /v1/encoders", Reply(202, {"job_id": "j", "state": "queued", "encoder_id": "biomedclip"}))
    server.on("GET /v1/jobs/j", job("j", "succeeded", kind="pull", result={"encoder_id": "biomedclip"}))
    run = slicebank("encoders", "pull", "biomedclip", "--server", "--accept-licence", "--windows", "lung, abdomen")
    assert run.status == 0, run.err
    assert "biomedclip is registered" in run.out
    [asked] = server.asked("POST /v1/encoders")
    assert asked.json == {"pull": "biomedclip", "accept_licence": True, "windows": ["lung", "abdomen"]}
    run = slicebank("encoders", "pull", "timm:x", "--server", "--accept-licence", "--no-wait", "--json")
    assert run.json["job_id"] == "j"


def test_the_licence_must_be_accepted(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("POST /v1/encoders", problem(409, "licence_not_accepted", "The weights come under: MIT (https://x)."))
    run = slicebank("encoders", "pull", "biomedclip", "--server")
    assert run.status == 1
    assert "MIT (https://x)" in run.err
    assert len(server.asked("POST /v1/encoders")) == 1


def test_only_administrators(slicebank: Shell, server: SpeakingServer, client: Client) -> None:
    server.on("DELETE /v1/encoders/mine", problem(403, "admins_only", "this needs the administrators' key"))
    run = slicebank("encoders", "remove", "mine", "--server", "-y")
    assert run.status == 1
    assert "SLICEBANK_ADMIN_KEY" in run.err
    with pytest.raises(NotAuthorised):
        client.encoders.remove("mine")


def test_verifying_at_the_server(slicebank: Shell, server: SpeakingServer, cards: None, client: Client) -> None:
    server.on(
        "POST /v1/encoders/mine/verify", {"encoder_id": "mine", "soundness": "damaged", "detail": "It was changed."}
    )
    run = slicebank("encoders", "verify", "--server")
    assert run.status == 1
    assert "It was changed." in run.out
    server.on("POST /v1/encoders/mine/verify", {"encoder_id": "mine", "soundness": "sound"})
    assert slicebank("--json", "encoders", "verify", "mine", "--server").json["items"][0]["soundness"] == "sound"
    assert client.encoders.verify("mine").sound


def test_removing_at_the_server(slicebank: Shell, server: SpeakingServer, client: Client) -> None:
    server.on("DELETE /v1/encoders/mine", Reply(204))
    assert slicebank("encoders", "remove", "mine", "--server", "-y").status == 0
    server.on("DELETE /v1/encoders/mine", problem(409, "encoder_not_registered", "Nothing to remove."))
    with pytest.raises(Conflict):
        client.encoders.remove("mine")
