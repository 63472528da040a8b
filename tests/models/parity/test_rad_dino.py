from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.formula import parity_rows
from tests.models.parity.goldens import MOST_ERROR, read_golden, relative_error


@pytest.mark.slow
def test_the_published_card_gives_the_features_of_transformers(tmp_path: Path) -> None:
    golden = read_golden("rad_dino")
    card = next(card for card in BUILTIN_CARDS if card.id == "rad_dino")
    save_file(golden.state(), tmp_path / "model.safetensors")
    registry = EncoderRegistry(tmp_path / "encoders")
    installed, report = install_encoder(registry, card, tmp_path / "model.safetensors")
    assert not report.dropped
    encoder = load_encoder(installed, registry.folder)
    with torch.inference_mode():
        features = torch.cat([encoder(row[None]) for row in parity_rows(card.input_size)])
    assert relative_error(features, golden.features) <= MOST_ERROR
