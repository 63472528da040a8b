"""Merlin against its own code's numbers, from a checkpoint in the official form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from slicebank_models.builtin.merlin import CARDS, VOLUME
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.goldens import MOST_ERROR, read_golden, relative_error
from tests.models.parity.record_merlin import FULL, SMALL, volumes


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> EncoderRegistry:
    """Holds `under-test`, installed from a file with the text side beside the image side, as the published one."""
    folder = tmp_path_factory.mktemp("merlin")
    state = read_golden("merlin").state()
    images = len(state)
    for name, shape in (
        ("logit_scale", ()),
        ("encode_text.text_encoder.embeddings.word_embeddings.weight", (5, 8)),
        ("encode_text.text_encoder.encoder.layer.0.attention.self.query_global.weight", (8, 8)),
        ("encode_text.linear_layer.weight", (512, 8)),
        ("encode_text.linear_layer.bias", (512,)),
    ):
        state[name] = torch.zeros(shape)
    checkpoint = folder / "epoch_99.pt"
    torch.save(state, checkpoint)
    filled = EncoderRegistry(folder / "encoders")
    card = replace(CARDS[0], id="under-test")
    complete, report = install_encoder(filled, card, checkpoint)
    checkpoint.unlink()
    assert len(report.mapped) + len(report.dropped) == len(state)
    reasons = [entry.reason for entry in report.dropped]
    assert set(reasons) == {
        "text encoder",
        "temperature of the contrastive training",
        "classifier of phenotypes or diseases",
        "step counter of BatchNorm",
    }
    counters = reasons.count("step counter of BatchNorm")
    assert len(report.mapped) == images - counters - 2
    assert complete.parameters == card.parameters
    return filled


def error(registry: EncoderRegistry, golden: str, size: tuple[int, int, int]) -> float:
    card = registry.get("under-test")
    encoder = load_encoder(replace(card, volume=replace(VOLUME, size=size)), registry.folder)
    with torch.inference_mode():
        features = torch.cat([encoder(part) for part in volumes(size).split(1 if size == FULL else 3)])
    return relative_error(features, read_golden(golden).features)


def test_features_are_those_of_the_official_code(registry: EncoderRegistry) -> None:
    assert error(registry, "merlin", SMALL) <= MOST_ERROR


@pytest.mark.slow
def test_features_are_those_of_the_official_code_at_the_real_size(registry: EncoderRegistry) -> None:
    assert VOLUME.size == FULL
    assert error(registry, "merlin_full", FULL) <= MOST_ERROR
