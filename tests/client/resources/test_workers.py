"""Who is at work."""

from __future__ import annotations

import pytest

from slicebank import Client, Worker, errors
from tests.client.speaking_server import SpeakingServer, problem

EMBED = {
    "name": "host:embed:7",
    "role": "embed",
    "device": "cpu",
    "started_at": "2024-05-01T10:00:00.000Z",
    "seen_at": "2024-05-01T10:01:00.000Z",
    "jobs": 2,
    "encoders": ["dummy"],
    "rows_total": 4096,
    "rows_per_second": 12345.6,
    "window_s": 10.0,
    "utilisation": 0.934,
    "decode_share": 0.4,
    "batch_rows": {"dummy": 64},
    "bound_by": "device",
}
TRAIN = {**EMBED, "name": "host:train:8", "role": "train", "device": None, "jobs": 0, "rows_per_second": 0.0}
TRAIN |= {"utilisation": None, "decode_share": None, "batch_rows": {}, "encoders": [], "bound_by": None}


def test_list(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/workers", {"items": [EMBED, TRAIN]})
    embed, train = client.workers.list()
    assert isinstance(embed, Worker)
    assert (embed.name, embed.encoders, embed.batch_rows) == ("host:embed:7", ("dummy",), {"dummy": 64})
    assert embed.seen_at is not None
    assert embed.started_at is not None
    assert (embed.seen_at - embed.started_at).total_seconds() == 60
    assert (embed.utilisation, embed.bound_by) == (0.934, "device")
    assert (train.device, train.utilisation, train.bound_by) == (None, None, None)


def test_nobody(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/workers", {"items": []})
    assert list(client.workers.list()) == []


def test_without_the_broker(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/workers", problem(503, "queue_unavailable", "The broker does not answer."))
    with pytest.raises(errors.ServerFault) as caught:
        client.workers.list()
    assert caught.value.code == "queue_unavailable"
