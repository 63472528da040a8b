from pathlib import Path

import pytest
import torch

from slicebank_models.cards import draft_card
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.formula import parity_rows
from tests.models.parity.goldens import MOST_ERROR, read_golden, relative_error
from tests.models.parity.record_mambaout import faint_stem


@pytest.mark.parametrize(
    ("name", "golden", "dim"),
    [
        pytest.param("mambaout_femto", "mambaout_femto", 288, id="femto, the original"),
        pytest.param("mambaout_tiny", "mambaout_tiny", 576, id="tiny, the original"),
        pytest.param("mambaout_femto", "mambaout_femto_timm", 288, id="femto, timm"),
        pytest.param("mambaout_small_rw", "mambaout_small_rw_timm", 576, id="small_rw, timm", marks=pytest.mark.slow),
    ],
)
def test_features_are_the_originals(name: str, golden: str, dim: int, tmp_path: Path) -> None:
    recorded = read_golden(golden)
    checkpoint = tmp_path / f"{name}.pth"
    torch.save(recorded.state(override=faint_stem), checkpoint)
    registry = EncoderRegistry(tmp_path / "encoders")
    card, report = install_encoder(registry, draft_card("parity", name, licence="none"), checkpoint)
    assert card.dim == dim
    assert {dropped.key.partition(".")[0] for dropped in report.dropped} == {"head"}
    encoder = load_encoder(card, registry.folder)
    with torch.inference_mode():
        features = encoder(parity_rows(224))
    assert relative_error(features, recorded.features) <= MOST_ERROR
