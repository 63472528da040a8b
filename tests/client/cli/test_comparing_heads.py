"""`slicebank heads compare` and `client.heads.compare`, against a server that speaks the contract."""

from __future__ import annotations

from typing import Any

import pytest

from slicebank import Client, errors
from tests.client.cli.test_commands import Shell
from tests.client.speaking_server import Reply, SpeakingServer, problem

AUROC: dict[str, Any] = {
    "first": 0.91, "second": 0.84, "difference": 0.07, "interval": [0.01, 0.13], "p_value": 0.0002, "method": "delong",
}  # fmt: skip
FOUND: dict[str, Any] = {
    "first": "h1",
    "second": "h2",
    "part": "pooled",
    "n_units": 96,
    "n_patients": 90,
    "left_out": {"first": 1, "second": 0},
    "metrics": {"auroc": AUROC, "ece": {**dict.fromkeys(AUROC), "first": 0.1}},
    "labels": {"lesion": {"auroc": AUROC}},
}


def test_two_heads_side_by_side(slicebank: Shell, server: SpeakingServer) -> None:
    server.on("GET /v1/heads/liver/comparison", Reply(200, FOUND))
    run = slicebank("heads", "compare", "liver", "h2")
    assert run.status == 0, run.err
    shown = " ".join(run.out.split())
    assert "auroc 0.910 0.840 0.070 0.010 to 0.130 0.0002" in shown.replace("│", "").replace("  ", " ")
    assert "96 cases of 90 patients" in run.err
    assert slicebank("heads", "compare", "liver", "h2", "--test").status == 0
    assert [sent.query for sent in server.asked("GET /v1/heads/liver/comparison")] == [
        {"other": "h2", "part": "pooled"},
        {"other": "h2", "part": "test"},
    ]


def test_what_is_known_of_both(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/heads/liver/comparison", Reply(200, FOUND))
    found = client.heads.compare("liver", "h2")
    assert (found.first, found.second, found.n_units, found.labels["lesion"]["auroc"]["p_value"]) == (
        "h1",
        "h2",
        96,
        0.0002,
    )
    server.on(
        "GET /v1/heads/other/comparison", problem(409, "nothing_to_compare", "The heads answer different questions.")
    )
    with pytest.raises(errors.Conflict, match="different questions"):
        client.heads.compare("other", "h2")
