"""What holds for every encoder, whatever its architecture. Encoders whose weights are published elsewhere run with weights by formula.

The smallest encoder of each family runs always, every other one under the marker `slow`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from slicebank_imaging.phantom import PhantomSpec, make_phantom
from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.cards import EncoderCard, EncoderLevel, InputKind, WeightsState
from slicebank_models.digest import weights_digest
from slicebank_models.encoders.build import build_encoder, family_of
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.errors import CheckpointError
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.formula import parity_volumes

LEAST_COSINE = 0.998
WINDOWS = ((-175.0, 275.0), (-1500.0, 500.0))
LARGEST = 100_000_000  # parameters; larger ones would need 4 GB and minutes without showing anything of their own
# Whole scans at their full size take minutes on a processor; these sizes run the same code.
SMALL_VOLUMES = {"merlin": (64, 64, 32), "ct_clip": (20, 120, 120), "ct_fm": (48, 64, 64)}


def stored(card: EncoderCard) -> bool:
    return card.weights in (WeightsState.MISSING, WeightsState.PRESENT)


def runnable(card: EncoderCard) -> EncoderCard:
    """The card with weights by formula where its own are published elsewhere, and with a volume of a size for tests."""
    if stored(card):
        card = replace(card, weights=WeightsState.SEEDED, seed=0, trained=False, weights_file=None, source=None)
    if card.volume is not None and card.architecture in SMALL_VOLUMES:
        card = replace(card, volume=replace(card.volume, size=SMALL_VOLUMES[card.architecture]))
    return card


def cases() -> Iterator[object]:
    """One encoder an architecture and input, the smallest of each family first."""
    seen: set[object] = set()
    families: set[object] = set()
    for card in sorted(BUILTIN_CARDS, key=lambda card: (stored(card), card.parameters)):
        kind = (card.architecture, card.input_size, card.volume, card.dim)
        if kind in seen:
            continue
        seen.add(kind)
        family = family_of(card.architecture).architectures
        marks = [pytest.mark.slow] if family in families else []
        families.add(family)
        if card.parameters <= LARGEST or not marks:
            yield pytest.param(card, id=card.id, marks=marks)


@dataclass(frozen=True)
class Loaded:
    card: EncoderCard
    encoder: Encoder
    rows: Tensor


@pytest.fixture(scope="module", params=list(cases()))
def loaded(request: pytest.FixtureRequest) -> Iterator[Loaded]:
    card = runnable(request.param)
    encoder = build_encoder(card)
    if card.seed is not None:
        encoder.set_weights(seeded_weights(card.seed, encoder.weights(), encoder.fixed_tensors))
    yield Loaded(card, encoder, rows_of(card))
    del encoder
    gc.collect()


def rows_of(card: EncoderCard) -> Tensor:
    """Volumes by formula; or slices of a phantom from the pelvis to the lungs, each in the paper's two windows."""
    if card.volume is not None:
        return parity_volumes(card.volume.size, *card.volume.scaled_to, count=3)
    hu = make_phantom(PhantomSpec(n_slices=3, size=card.input_size, slice_spacing_mm=90)).hu.astype(np.float64)
    if card.input_kind is InputKind.HU:
        return torch.from_numpy(np.clip((hu + 1024) / 4095, 0, 1).astype(np.float32))
    rows = [255 * np.clip((plane - low) / (high - low), 0, 1) for plane in hu for low, high in WINDOWS]
    return torch.from_numpy(np.floor(np.stack(rows) + 0.5).astype(np.uint8))


def encode(encoder: Encoder, rows: Tensor) -> Tensor:
    with torch.inference_mode():
        return encoder(rows)


def centred_cosines(found: Tensor, expected: Tensor) -> Tensor:
    mean = expected.double().mean(dim=0)
    return nn.functional.cosine_similarity(found.double() - mean, expected.double() - mean)


@pytest.mark.parametrize("card", BUILTIN_CARDS, ids=lambda card: card.id)
def test_its_card_is_complete_and_agrees_with_its_architecture(card: EncoderCard) -> None:
    assert card.description
    assert card.licence
    assert card.weights is WeightsState.NONE or (card.paper and card.code.count("@") == 1)
    assert card.weights is not WeightsState.MISSING or card.source is not None
    assert card.source is None or card.source.licence_url.startswith("https://")
    assert (card.level is EncoderLevel.SCAN) == (card.volume is not None)
    assert card.row_bytes > 0
    with torch.device("meta"):
        encoder = build_encoder(card)
    assert encoder.dim == card.dim
    assert encoder.input_kind is card.input_kind
    assert encoder.row_shape == (card.volume.size if card.volume else (card.input_size, card.input_size))
    if card.weights is not WeightsState.NONE:
        assert sum(tensor.numel() for tensor in encoder.weights().values()) == card.parameters


def test_one_finite_vector_a_row_the_same_at_every_call(loaded: Loaded) -> None:
    features = encode(loaded.encoder, loaded.rows)
    assert features.shape == (len(loaded.rows), loaded.card.dim)
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()
    assert not any(module.training for module in loaded.encoder.modules())
    assert torch.equal(encode(loaded.encoder, loaded.rows), features)
    assert torch.pdist(features).min() > 0


def test_a_row_does_not_depend_on_its_batch(loaded: Loaded) -> None:
    together = encode(loaded.encoder, loaded.rows)
    apart = torch.cat([encode(loaded.encoder, row[None]) for row in loaded.rows.flip(0)]).flip(0)
    spread = (together - together.mean(dim=0)).abs().max()
    assert (apart - together).abs().max() <= 1e-3 * spread


def test_bfloat16_stays_near(loaded: Loaded) -> None:
    if not loaded.encoder.lowers:
        assert loaded.card.weights is WeightsState.NONE, "a network with weights has matrices that can be lowered"
        return
    exact = encode(loaded.encoder, loaded.rows)
    lowered = build_encoder(loaded.card)
    lowered.set_weights(loaded.encoder.weights())
    lowered.lower(torch.bfloat16)
    dtypes = {tensor.dtype for tensor in lowered.weights().values()}
    assert dtypes == {torch.bfloat16, torch.float32}
    found = encode(lowered, loaded.rows)
    assert found.dtype == torch.float32
    assert centred_cosines(found, exact).min() >= LEAST_COSINE


def test_it_comes_back_from_a_file_and_from_no_damaged_one(loaded: Loaded, tmp_path: Path) -> None:
    if loaded.card.weights is WeightsState.NONE:
        assert loaded.card.weights_file is None
        return
    weights = {name: tensor.contiguous() for name, tensor in loaded.encoder.weights().items()}
    card = replace(
        loaded.card,
        id="mine",
        weights=WeightsState.MISSING,
        weights_file="weights.safetensors",
        seed=None,
        trained=True,
    )
    whole = tmp_path / "whole.safetensors"
    save_file(weights, whole)
    registry = EncoderRegistry(tmp_path / "encoders")
    installed, report = install_encoder(registry, card, whole)
    assert installed.weights_digest == weights_digest(weights)
    assert len(report.mapped) == len(weights)
    again = load_encoder(registry.get("mine"), registry.folder)
    assert torch.equal(encode(again, loaded.rows), encode(loaded.encoder, loaded.rows))
    del again

    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refuse(card, damaged, tmp_path)
    first = next(iter(weights))
    renamed = {f"{name}_" if name == first else name: tensor for name, tensor in load_file(whole).items()}
    save_file(renamed, damaged)
    refuse(card, damaged, tmp_path)
    del renamed[f"{first}_"]
    save_file(renamed, damaged)
    refuse(card, damaged, tmp_path)


def refuse(card: EncoderCard, checkpoint: Path, folder: Path) -> None:
    other = EncoderRegistry(folder / "refused")
    with pytest.raises(CheckpointError):
        install_encoder(other, card, checkpoint)
    assert "mine" not in {known.id for known in other.cards()}
