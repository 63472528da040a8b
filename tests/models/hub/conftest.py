from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from slicebank_models.cards import EncoderCard, draft_card
from slicebank_models.registry import EncoderRegistry
from slicebank_models.weights_source import WeightsSource
from tests.models.hub.local_hub import LocalHub, forget_accounts, local_hub

REPO = "lab/dummy"
FILE = "weights/dummy.safetensors"


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as running:
        yield running


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_accounts(monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def checkpoint() -> bytes:
    """Of the architecture `dummy`, with other numbers than the built-in encoder's."""
    return save({"matrix": torch.arange(256 * 16, dtype=torch.float32).reshape(256, 16)})


@pytest.fixture(scope="session")
def large(checkpoint: bytes) -> bytes:
    """The same with 24 MB of an optimiser beside it: the hub's library writes down 10 MiB at a time."""
    file = io.BytesIO()
    torch.save({"state_dict": load(checkpoint), "optimizer": torch.zeros(24_000_000, dtype=torch.uint8)}, file)
    return file.getvalue()


@pytest.fixture
def card() -> EncoderCard:
    """As a published encoder's."""
    drafted = draft_card("dummy.lab", "dummy", licence="CC-BY-4.0", description="By a lab.", input_size=64)
    return replace(drafted, dim=16, source=WeightsSource(REPO, FILE))


@pytest.fixture
def registry(tmp_path: Path, card: EncoderCard) -> EncoderRegistry:
    plain = replace(card, id="unpublished", source=None)
    return EncoderRegistry(
        tmp_path / "encoders", known=(card, plain, EncoderRegistry().get("mambaout_femto.untrained"))
    )
