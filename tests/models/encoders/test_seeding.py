import hashlib
import math

import numpy as np
import pytest
import torch

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.encoders.seeding import BRANCH_GAIN, seeded_tensor, seeded_uniform
from slicebank_models.encoders.vit_moco import sincos_positions
from slicebank_models.loading import load_encoder

MASK = 2**64 - 1


def philox(key: tuple[int, int], counter: int) -> list[int]:
    """Philox4x64-10 of Salmon et al. 2011, as in its paper."""
    c = [counter, 0, 0, 0]
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 2**64)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c


def nearest_bfloat16(value: float) -> float:
    """The multiple of the last of 8 significant bits that lies nearest; Python's round takes ties to even."""
    _, exponent = math.frexp(value)
    step = 2.0 ** (exponent - 8)
    return round(value / step) * step


def test_the_formula_in_plain_python() -> None:
    digest = hashlib.sha256(b"slicebank-weights-1:7:stem.conv1.weight").digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
    raw = [word for counter in (1, 2, 3) for word in philox(key, counter)]  # numpy counts before it draws
    values = [nearest_bfloat16(float(np.float32(0.3 * ((word >> 40) / 2**23 - 1)))) for word in raw]
    drawn = seeded_uniform(7, "stem.conv1.weight", (3, 4), 0.3)
    assert drawn.dtype == np.float32
    assert drawn.ravel().tolist() == values


def test_both_precisions_use_the_same_weights() -> None:
    drawn = torch.from_numpy(seeded_uniform(0, "stages.0.blocks.0.fc1.weight", (64, 64), 0.7))
    assert torch.equal(drawn.to(torch.bfloat16).float(), drawn)


def test_variance_follows_fan_in_and_gain() -> None:
    plain = seeded_tensor(0, "stages.0.blocks.0.fc1.weight", (512, 192))
    branch = seeded_tensor(0, "stages.0.blocks.0.fc2.weight", (512, 192))
    assert float(plain.var()) == pytest.approx(1 / 192, rel=0.02)
    assert float(branch.var()) == pytest.approx(BRANCH_GAIN**2 / 192, rel=0.02)


def test_vectors_start_at_their_neutral_values() -> None:
    assert seeded_tensor(0, "norm.weight", (5,)).tolist() == [1.0] * 5
    assert seeded_tensor(0, "norm.bias", (5,)).tolist() == [0.0] * 5
    assert seeded_tensor(0, "stages.0.blocks.0.ls.gamma", (5,)).tolist() == [1.0] * 5
    assert seeded_tensor(0, "patch_embed.proj.1.running_mean", (5,)).tolist() == [0.0] * 5
    assert seeded_tensor(0, "cls_token", (1, 1, 3)).tolist() == [[[0.0] * 3]]


def test_seeds_and_names_give_different_weights() -> None:
    drawn = {seeded_uniform(s, n, (8,), 1.0).tobytes() for s in (0, 1) for n in ("a.weight", "b.weight")}
    assert len(drawn) == 4


HERE = [card for card in BUILTIN_CARDS if card.weights in (WeightsState.SEEDED, WeightsState.NONE)]
SMALL = [card for card in HERE if card.parameters < 25_000_000]


@pytest.mark.parametrize("card", SMALL, ids=lambda card: card.id)
def test_small_encoders_have_the_weights_that_their_cards_pin(card: EncoderCard) -> None:
    encoder = load_encoder(card)  # raises if the digest differs
    assert encoder.dim == card.dim
    if card.seed is not None:
        assert sum(tensor.numel() for tensor in encoder.weights().values()) == card.parameters
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("card", [card for card in HERE if card not in SMALL], ids=lambda card: card.id)
def test_large_encoders_have_the_weights_that_their_cards_pin(card: EncoderCard) -> None:
    encoder = load_encoder(card)
    assert encoder.dim == card.dim
    assert sum(tensor.numel() for tensor in encoder.weights().values()) == card.parameters


@pytest.mark.parametrize("dim", [384, 768])
def test_no_position_lies_where_machines_could_round_differently(dim: int) -> None:
    """A mathematics library that errs by dozens of float64 steps still gives these float32 positions."""
    quarter = dim // 4
    for at in range(14):
        for step in range(quarter):
            angle = at * 10000.0 ** (-step / quarter)
            for value in (math.sin(angle), math.cos(angle)):
                slack = 2.0**-47 * max(abs(value), abs(angle) * 2.0**-4)
                assert np.float32(value - slack) == np.float32(value + slack)
    assert sincos_positions(dim, 14).dtype == torch.float32
