from pathlib import Path

import pytest
import torch
from torch import Tensor

from slicebank_models.cards import draft_scan_card
from slicebank_models.encoders.ct_clip import ARCHITECTURE, CTClipEncoder
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.ct_clip_inputs import GAIN, REAL, SMALL, Comparison
from tests.models.parity.goldens import MOST_ERROR, Golden, read_golden, relative_error

REASONS = {
    "text encoder",
    "projection of texts",
    "second projection of volumes, which the original makes and does not use",
    "temperature of the contrastive training",
    "embedding of a first frame, which the original does not use",
    "decoder of the first training",
    "state of the codebook's training",
    "empty: self-attention has no further keys",
    "norm of a context, which self-attention has none of",
}


def install(golden: Golden, comparison: Comparison, folder: Path) -> tuple[CTClipEncoder, set[str]]:
    """Through a file as the original saves it; returns the encoder and why keys were dropped."""
    checkpoint = folder / "CT-CLIP_v2.pt"
    torch.save(golden.state(gain=GAIN, override=comparison.override()), checkpoint)
    card = draft_scan_card("ct_clip.parity", ARCHITECTURE, comparison.spec, licence="none")
    registry = EncoderRegistry(folder / "encoders")
    installed, report = install_encoder(registry, card, checkpoint)
    checkpoint.unlink()
    encoder = load_encoder(installed, registry.folder)
    assert isinstance(encoder, CTClipEncoder)
    return encoder, {dropped.reason for dropped in report.dropped}


def compare(golden: Golden, comparison: Comparison, encoder: CTClipEncoder) -> None:
    """Tokens before quantisation, the codes chosen and the features of the three volumes."""
    tower = encoder.trunk.visual_transformer
    features: list[Tensor] = []
    with torch.inference_mode():
        for index in range(3):
            volume = comparison.volume(index)
            tokens = tower.tokens(volume).flatten(0, 2)
            part = tokens[:: comparison.token_step]
            assert relative_error(part, golden.parts["tokens"][index]) <= MOST_ERROR
            codes = tower.vq.get_submodule("_codebook").nearest(tokens[:: comparison.code_step])  # type: ignore[operator]
            assert torch.equal(codes, golden.parts["codes"][index].to(torch.long))
            features.append(encoder(volume[None]))
    assert relative_error(torch.cat(features), golden.features) <= MOST_ERROR


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read_golden(SMALL.golden)


@pytest.fixture(scope="module")
def installed(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> tuple[CTClipEncoder, set[str]]:
    return install(golden, SMALL, tmp_path_factory.mktemp("ct_clip"))


def test_features_are_the_originals(golden: Golden, installed: tuple[CTClipEncoder, set[str]]) -> None:
    encoder, reasons = installed
    assert reasons == REASONS
    compare(golden, SMALL, encoder)


@pytest.mark.slow
def test_features_are_the_originals_at_the_real_size(tmp_path: Path) -> None:
    golden = read_golden(REAL.golden)
    encoder, _ = install(golden, REAL, tmp_path)
    compare(golden, REAL, encoder)


def test_the_recorded_codes_are_many_and_well_apart(golden: Golden) -> None:
    assert len(golden.parts["codes"].unique()) > 100
    assert float(golden.official["smallest_gap"]) > 1e-6


def test_an_encoder_that_differs_a_little_is_found_out(
    golden: Golden, installed: tuple[CTClipEncoder, set[str]]
) -> None:
    encoder, _ = installed
    scale = encoder.trunk.visual_transformer.enc_temporal_transformer.norm_out.gamma
    kept = scale[0].clone()
    scale[0] *= 1.01
    with pytest.raises(AssertionError):
        compare(golden, SMALL, encoder)
    scale[0] = kept
