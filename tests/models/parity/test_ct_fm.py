"""CT-FM against the published extractor's numbers, from a checkpoint in the official form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from slicebank_models.builtin.ct_fm import CARDS, VOLUME
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.goldens import MOST_ERROR, read_golden, relative_error
from tests.models.parity.record_ct_fm import FULL, SMALL, Size, volumes


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> EncoderRegistry:
    """Holds `under-test`, installed from a file with the published one's names."""
    folder = tmp_path_factory.mktemp("ct_fm")
    checkpoint = folder / "model.safetensors"
    state = read_golden("ct_fm").state()
    save_file(state, checkpoint)
    filled = EncoderRegistry(folder / "encoders")
    card = replace(CARDS[0], id="under-test")
    complete, report = install_encoder(filled, card, checkpoint)
    checkpoint.unlink()
    assert len(report.mapped) + len(report.dropped) == len(state)
    assert {entry.reason for entry in report.dropped} == {"step counter of BatchNorm"}
    assert complete.parameters == card.parameters
    return filled


def error(registry: EncoderRegistry, golden: str, row: Size, scans: tuple[Size, ...]) -> float:
    card = registry.get("under-test")
    encoder = load_encoder(replace(card, volume=replace(VOLUME, size=row)), registry.folder)
    with torch.inference_mode():
        features = encoder(volumes(row, scans))
    return relative_error(features, read_golden(golden).features)


def test_features_are_those_of_the_official_code(registry: EncoderRegistry) -> None:
    assert error(registry, "ct_fm", *SMALL) <= MOST_ERROR


@pytest.mark.slow
def test_features_are_those_of_the_official_code_at_the_real_size(registry: EncoderRegistry) -> None:
    assert VOLUME.size == FULL[0]
    assert error(registry, "ct_fm_full", *FULL) <= MOST_ERROR
