import numpy as np
import pytest

from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry


@pytest.fixture(scope="module")
def dummy() -> FrozenEncoder:
    card = EncoderRegistry().get("dummy")
    return FrozenEncoder(card, load_encoder(card))


def test_it_depends_on_every_cell_and_is_the_same_each_time(dummy: FrozenEncoder) -> None:
    row = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    changed = np.stack([row] * 256)
    for cell in range(256):
        changed[cell, 4 * (cell // 16), 4 * (cell % 16)] ^= 0x80
    features = dummy.encode(np.concatenate([row[None], changed]))
    assert len({row.tobytes() for row in features}) == 257
    assert np.array_equal(dummy.encode(changed), features[1:])


def test_it_is_cell_means_through_a_fixed_matrix(dummy: FrozenEncoder) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    cells = grey.reshape(2, 16, 4, 16, 4).mean(axis=(2, 4)) / 255 - 0.5
    matrix = load_encoder(EncoderRegistry().get("dummy")).weights()["matrix"].numpy()
    np.testing.assert_allclose(dummy.encode(grey), cells.reshape(2, -1) @ matrix, rtol=1e-4, atol=1e-5)
