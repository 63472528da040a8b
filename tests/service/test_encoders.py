"""Encoders over REST: cards, and what administrators may do with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from safetensors.numpy import save_file

from slicebank_models.cards import EncoderCard, draft_card
from slicebank_models.digest import weights_digest
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_models.weights_source import WeightsSource
from slicebank_store.types import JobKind, JobState, Priority
from tests.service.support import KEY, Api, MakeFiles, World, serving

ADMIN = "admin-key"


@pytest.fixture
def published() -> EncoderCard:
    drafted = draft_card("dummy.lab", "dummy", licence="CC-BY-4.0", input_size=64)
    return replace(drafted, dim=16, source=WeightsSource("lab/dummy", "w.safetensors", gated=True))


@pytest.fixture
def registry(world: World, published: EncoderCard) -> EncoderRegistry:
    bare = EncoderRegistry()
    known = (published, bare.get(DEFAULT_ENCODER), bare.get("hu_statistics"))
    return EncoderRegistry(world.settings.resolved_encoders_dir, known=known)


@pytest.fixture
def api(world: World, registry: EncoderRegistry) -> Iterator[Api]:
    world.registry = registry
    with serving(world.app(admin_key=SecretStr(ADMIN))) as client:
        yield client


def add(registry: EncoderRegistry, tmp_path: Path, encoder_id: str = "mine") -> EncoderCard:
    import torch

    matrix = np.arange(256 * 16, dtype=np.float32).reshape(256, 16)
    save_file({"matrix": matrix}, tmp_path / "w.safetensors")
    card = replace(draft_card(encoder_id, "dummy", licence="CC0", input_size=64), dim=16)
    digest = weights_digest({"matrix": torch.from_numpy(matrix)})
    return registry.add(replace(card, weights_digest=digest), tmp_path / "w.safetensors")


def test_cards_say_what_is_missing_and_how_it_is_got(api: Api) -> None:
    cards = {card["id"]: card for card in api.get("/v1/encoders").json()["items"]}
    lab = cards["dummy.lab"]
    assert (lab["weights"], lab["registered"]) == ("missing", False)
    assert "encoders pull dummy.lab" in lab["how_to_get"]
    assert lab["source"]["repo"] == "lab/dummy"
    assert lab["source"]["gated"] is True
    assert cards["hu_statistics"]["how_to_get"] == ""
    assert api.get("/v1/encoders/dummy.lab").json() == lab


def test_uploads_for_an_encoder_without_weights_are_refused_with_the_way_to_them(
    api: Api, make_files: MakeFiles
) -> None:
    answer = api.upload(make_files(1), encoder="dummy.lab")
    assert answer.status_code == 409
    assert answer.json()["code"] == "weights_missing"
    assert "encoders pull dummy.lab" in answer.json()["detail"]


def test_a_pull_becomes_a_job(api: Api, world: World) -> None:
    refused = api.post("/v1/encoders", json={"pull": "dummy.lab"}, key=ADMIN)
    assert (refused.status_code, refused.json()["code"]) == (409, "licence_not_accepted")
    assert "CC-BY-4.0" in refused.json()["detail"]
    asked = {"pull": "dummy.lab", "accept_licence": True, "windows": ["lung"]}
    answer = api.post("/v1/encoders", json=asked, key=ADMIN)
    assert answer.status_code == 202
    assert answer.json()["encoder_id"] == "dummy.lab"
    job_id = answer.json()["job_id"]
    assert world.queue.sent == [(JobKind.PULL, job_id, Priority.INTERACTIVE)]
    again = api.post("/v1/encoders", json=asked, key=ADMIN)
    assert again.json()["job_id"] == job_id, "the same pull is the same job"
    job = world.catalogue.jobs.get("default", job_id)
    assert job is not None
    assert (job.kind, job.state) == (JobKind.PULL, JobState.QUEUED)
    assert world.catalogue.jobs.next_import(1e10) == 1e10, "whoever runs transfers hears of it"
    shown = api.get(f"/v1/jobs/{job_id}").json()
    assert shown["kind"] == "pull"
    assert api.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert api.post(f"/v1/jobs/{job_id}/retry").json()["state"] == "queued"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"pull": "nonesuch"}, 404, "unknown_encoder"),
        ({"pull": "/etc/passwd"}, 422, "bad_encoder_reference"),
        ({"pull": "https://example.org/w.pt"}, 422, "bad_encoder_reference"),
        ({"pull": "file:///etc/passwd"}, 422, "bad_encoder_reference"),
        ({"pull": "hf:a/b:../x"}, 422, "bad_encoder_reference"),
        ({"pull": "hu_statistics"}, 422, "bad_encoder_reference"),
        ({"pull": "hf:a/b"}, 409, "licence_not_accepted"),
        ({"pull": "hf:a/b:c.pth", "architecture": "timm:resnet18"}, 409, "licence_not_accepted"),
        ({"pull": "hf:a/b:c.pth", "architecture": "timm:../x"}, 422, "invalid_request"),
        ({"pull": "dummy.lab", "sha256": "x"}, 422, "invalid_request"),
        ({"pull": "dummy.lab", "id": "../x"}, 422, "invalid_request"),
        ({"pull": "dummy.lab", "id": "hu_statistics"}, 409, "encoder_exists"),
        ({"pull": "dummy.lab", "windows": ["lungs"]}, 422, "bad_option"),
        ({"pull": "dummy.lab", "path": "/x"}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ],
    ids=str,
)
def test_pulls_that_are_refused_at_once(api: Api, world: World, asked: dict[str, Any], status: int, code: str) -> None:
    answer = api.post("/v1/encoders", json=asked, key=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert world.queue.sent == []


def test_only_administrators(api: Api, registry: EncoderRegistry, tmp_path: Path) -> None:
    add(registry, tmp_path)
    calls = [("POST", "/v1/encoders"), ("POST", "/v1/encoders/mine/verify"), ("DELETE", "/v1/encoders/mine")]
    for method, path in calls:
        body = {"json": {"pull": "dummy.lab", "accept_licence": True}} if path == "/v1/encoders" else {}
        answer = api.request(method, path, key=KEY, **body)
        assert (answer.status_code, answer.json()["code"]) == (403, "admins_only"), path
        assert api.request(method, path, key="other", **body).status_code == 401
    assert api.get("/v1/encoders/mine", key=ADMIN).status_code == 200, "what all may do, they may too"
    assert api.post("/v1/encoders/mine/verify", key=ADMIN).json()["soundness"] == "sound"
    assert api.delete("/v1/encoders/mine", key=ADMIN).status_code == 204
    assert api.delete("/v1/encoders/mine", key=ADMIN).json()["code"] == "encoder_not_registered"
    assert api.get("/v1/encoders/mine").status_code == 404


def test_without_a_key_of_their_own_everybody_administers(world: World, registry: EncoderRegistry) -> None:
    world.registry = registry
    for unset in (None, SecretStr("")):
        with serving(world.app(admin_key=unset)) as api:
            assert api.post("/v1/encoders/dummy.lab/verify").json()["soundness"] == "missing"


def test_damage_shows(api: Api, registry: EncoderRegistry, tmp_path: Path) -> None:
    add(registry, tmp_path)
    folder = tmp_path / "data" / "encoders" / "mine"
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    answer = api.post("/v1/encoders/mine/verify", key=ADMIN).json()
    assert answer["soundness"] == "damaged"
    (folder / "card.json").write_text("{")
    listed = api.get("/v1/encoders").json()
    assert "mine" in listed["problems"]
    assert "hu_statistics" in [card["id"] for card in listed["items"]]


def test_settings_that_forbid(world: World, registry: EncoderRegistry) -> None:
    world.registry = registry
    with serving(world.app(offline=True)) as api:
        answer = api.post("/v1/encoders", json={"pull": "dummy.lab", "accept_licence": True})
        assert (answer.status_code, answer.json()["code"]) == (409, "hub_offline")
    with serving(world.app(hub_pulls=False)) as api:
        answer = api.post("/v1/encoders", json={"pull": "hf:a/b", "accept_licence": True})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
        assert api.post("/v1/encoders", json={"pull": "dummy.lab", "accept_licence": True}).status_code == 202
