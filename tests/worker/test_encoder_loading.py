"""Encoders that a worker cannot load are told of, in words and on the board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from slicebank_models.cards import draft_card
from slicebank_models.loading import install_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_worker.encoder_loading import EncoderLoader
from slicebank_worker.engine import EncoderKey
from slicebank_worker.errors import EncoderUnavailable, WeightsLacking

CPU = torch.device("cpu")


@pytest.fixture
def registry(tmp_path: Path) -> EncoderRegistry:
    save_file({"matrix": torch.ones(256, 16)}, tmp_path / "m.safetensors")
    registry = EncoderRegistry(tmp_path / "encoders")
    install_encoder(registry, draft_card("mine", "dummy", licence="CC0", input_size=64), tmp_path / "m.safetensors")
    return registry


def test_what_is_lacking_is_remembered_until_it_is_there(registry: EncoderRegistry, tmp_path: Path) -> None:
    loader = EncoderLoader(registry, "host:embed:1")
    key = EncoderKey("mine", registry.get("mine").weights_digest, "standard")
    assert loader(key, CPU).dim == 16
    file = tmp_path / "encoders" / "mine" / "weights.safetensors"
    kept = file.read_bytes()
    file.unlink()
    with pytest.raises(WeightsLacking, match=r"host:embed:1 lacks.*encoders add FILE --id mine.*retry the job") as lost:
        loader(key, CPU)
    assert not lost.value.retryable
    assert loader.lacking == ["mine"]
    file.write_bytes(kept[:-1] + b"!")
    with pytest.raises(WeightsLacking, match="encoders verify mine"):
        loader(key, CPU)
    assert loader.lacking == ["mine"]
    file.write_bytes(kept + b"!")
    assert loader.lacking == [], "whoever mends it need not wait for a job that asks again"
    file.write_bytes(kept)
    loader(key, CPU)
    assert loader.lacking == []


def test_an_encoder_that_was_removed_is_lacked_no_more(registry: EncoderRegistry, tmp_path: Path) -> None:
    loader = EncoderLoader(registry, "w")
    key = EncoderKey("mine", registry.get("mine").weights_digest, "standard")
    (tmp_path / "encoders" / "mine" / "weights.safetensors").unlink()
    with pytest.raises(WeightsLacking):
        loader(key, CPU)
    registry.remove("mine")
    assert loader.lacking == []


def test_an_encoder_that_another_machine_knows(registry: EncoderRegistry) -> None:
    loader = EncoderLoader(registry, "w")
    with pytest.raises(WeightsLacking, match="SLICEBANK_ENCODERS_DIR"):
        loader(EncoderKey("theirs", "0" * 64, "standard"), CPU)
    assert loader.lacking == ["theirs"]


def test_other_weights_are_another_matter(registry: EncoderRegistry, tmp_path: Path) -> None:
    loader = EncoderLoader(registry, "w")
    with pytest.raises(EncoderUnavailable, match="other weights"):
        loader(EncoderKey("mine", "0" * 64, "standard"), CPU)
    odd = replace(registry.get("mine"), id="odd", architecture="of_tomorrow")
    registry.add(odd, tmp_path / "m.safetensors")
    with pytest.raises(EncoderUnavailable, match="of_tomorrow"):
        loader(EncoderKey("odd", odd.weights_digest, "standard"), CPU)
    assert loader.lacking == []
