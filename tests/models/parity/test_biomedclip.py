"""BiomedCLIP's image tower against open_clip's numbers, from a checkpoint in the official form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from slicebank_models.builtin.biomedclip import CARDS
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.faint_stem import faint_stem
from tests.models.parity.formula import parity_rows, parity_tensor
from tests.models.parity.goldens import MOST_ERROR, read_golden, relative_error


def test_features_are_those_of_open_clip(tmp_path: Path) -> None:
    golden = read_golden("biomedclip")
    state = {
        name: parity_tensor(name, shape, override=faint_stem)
        if name.startswith("visual.")
        else torch.zeros(()).expand(shape)
        for name, shape, _ in golden.parameters
    }
    # transformers wrote this buffer when the published file was made; newer versions do not.
    state["text.transformer.embeddings.position_ids"] = torch.arange(512)[None]
    checkpoint = tmp_path / "open_clip_pytorch_model.bin"
    torch.save(state, checkpoint)
    card = next(card for card in CARDS if card.id == "biomedclip")
    registry = EncoderRegistry(tmp_path / "encoders")
    complete, report = install_encoder(registry, replace(card, id="under-test"), checkpoint)
    assert len(report.mapped) + len(report.dropped) == len(state)
    assert {entry.reason for entry in report.dropped} == {"text tower", "temperature of the contrastive loss"}
    encoder = load_encoder(complete, registry.folder)
    with torch.inference_mode():
        features = encoder(parity_rows(224))
    assert relative_error(features, golden.features) <= MOST_ERROR
