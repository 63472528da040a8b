"""Runs that take seconds: a network of timm's own tests, views of 32 pixels, float32."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from slicebank_models.pretraining.checkpointing import LATEST, read_checkpoint
from slicebank_models.pretraining.metrics_file import CLOCKED, MetricsLine, read_metrics
from slicebank_models.pretraining.spec import PretrainingSpec

# A convolutional network with norms over the batch, 32 features.
NETWORK = "timm:test_byobnet.r160_in1k"
OVERRIDES = (
    f"model.architecture={NETWORK}",
    "model.input_size=32",
    "model.hidden_dim=32",
    "model.projection_dim=16",
    "optimiser.batch_size=8",
    "optimiser.epochs=5",
    "optimiser.warmup_epochs=1",
    "optimiser.lr=0.02",
    "run.precision=fp32",
    "run.log_steps=1",
    "run.probe_epochs=0",
    "run.readers=1",
)


def tiny_spec(*overrides: str) -> PretrainingSpec:
    """Five epochs of batches of eight; overrides as on the command line."""
    return PretrainingSpec.from_toml("", (*OVERRIDES, *overrides))


def curve(folder: Path) -> list[dict[str, object]]:
    """Lines of metrics.csv without what the clock decides."""
    return [unclocked(line) for line in read_metrics(folder)]


def unclocked(line: MetricsLine) -> dict[str, object]:
    return {name: getattr(line, name) for name in line.__slots__ if name not in CLOCKED}


def weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of the networks at the last checkpoint."""
    return {name: tensor.clone() for name, tensor in read_checkpoint(folder / LATEST).model.items()}


def same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())
