"""Models of transformers and of timm, pulled by name from a hub on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from safetensors.torch import save

from slicebank_models.cards import EncoderCard
from slicebank_models.errors import BadCard, NotOnHub
from slicebank_models.hub.access import HubAccess
from slicebank_models.hub.planning import folder_card, plan_pull
from slicebank_models.hub.pulling import pull
from slicebank_models.hub.references import parse_reference
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.hub.local_hub import COMMIT, LocalHub

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
PROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 56},
    "crop_size": {"height": 56, "width": 56},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
}


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return transformers.Dinov2Model(transformers.Dinov2Config(**TINY)).eval()


@pytest.fixture
def repository(hub: LocalHub, model: Any, tmp_path: Path) -> str:
    model.save_pretrained(tmp_path / "saved")
    for file in ("config.json", "model.safetensors"):
        hub.put("lab/tiny", file, (tmp_path / "saved" / file).read_bytes())
    hub.put("lab/tiny", "preprocessor_config.json", json.dumps(PROCESSOR).encode())
    hub.licences["lab/tiny"] = "apache-2.0"
    return "lab/tiny"


def pulled(reference: str, hub: LocalHub, registry: EncoderRegistry, **options: str) -> EncoderCard:
    access = HubAccess(hub.url)
    plan = plan_pull(parse_reference(reference), registry, access, **options)
    return pull(plan, registry, access.open(), accepted=True, on_bytes=lambda done, total: None).card


def test_a_model_of_transformers(repository: str, hub: LocalHub, registry: EncoderRegistry, model: Any) -> None:
    card = pulled(f"hf:{repository}", hub, registry)
    assert (card.id, card.dim, card.licence) == ("hf.lab.tiny", 32, "apache-2.0")
    assert (card.input_size, card.mean) == (56, (0.5, 0.5, 0.5))
    assert card.source is not None
    assert card.source.revision == COMMIT
    asked = len(hub.asked)
    encoder = load_encoder(registry.get(card.id), registry.folder)
    assert len(hub.asked) == asked, "loading contacts nobody"
    grey = torch.randint(0, 256, (2, 56, 56), dtype=torch.uint8)
    pixels = ((grey / 255 - 0.5) / 0.25)[:, None].expand(-1, 3, -1, -1)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(grey), model(pixels).pooler_output, rtol=1e-4, atol=1e-5)


def test_a_model_that_brings_code_is_refused(repository: str, hub: LocalHub, registry: EncoderRegistry) -> None:
    config = {"model_type": "odd", "auto_map": {"AutoModel": "modeling_odd.OddModel"}}
    hub.put(repository, "config.json", json.dumps(config).encode())
    with pytest.raises(BadCard):
        pulled(f"hf:{repository}", hub, registry)
    assert not any("modeling" in asked.path for asked in hub.asked)


def test_a_repository_without_a_model(hub: LocalHub, registry: EncoderRegistry) -> None:
    hub.put("lab/odd", "README.md", b"nothing")
    with pytest.raises(NotOnHub, match=r"hf:lab/odd:FILE"):
        pulled("hf:lab/odd", hub, registry)
    hub.put("lab/odd", "config.json", b"[1]")
    with pytest.raises(NotOnHub, match="no JSON object"):
        pulled("hf:lab/odd", hub, registry)


def test_a_model_of_timm(hub: LocalHub, registry: EncoderRegistry) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False).eval()
    hub.put("timm/test_vit.r160_in1k", "model.safetensors", save(model.state_dict()))
    card = pulled("timm:test_vit.r160_in1k", hub, registry)
    assert card.id == "timm.test_vit.r160_in1k"
    assert card.dim == model.num_features
    assert card.source is not None
    assert card.source.repo == "timm/test_vit.r160_in1k"
    load_encoder(registry.get(card.id), registry.folder)


def test_a_folder_of_transformers(tmp_path: Path, model: Any) -> None:
    assert folder_card(tmp_path, None) is None
    model.config.to_json_file(tmp_path / "config.json")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    card = folder_card(tmp_path, "my.tiny")
    assert card is not None
    assert (card.id, card.input_size) == ("my.tiny", 56)
    (tmp_path / "config.json").write_text("{")
    assert folder_card(tmp_path, None) is None


def test_every_published_card_can_be_planned() -> None:
    """What is listed as missing says where it is, and its file name is one that a pull can ask for."""
    registry = EncoderRegistry()
    published = [card for card in registry.cards() if card.weights.value == "missing"]
    assert len(published) > 5
    for card in published:
        plan = plan_pull(parse_reference(card.id), registry, HubAccess(offline=True))
        assert plan.card is not None
        assert plan.terms.licence, card.id
        assert plan.terms.url.startswith("https://"), card.id
