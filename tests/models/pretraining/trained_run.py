"""The folder of a run as training leaves it, without the training: networks whose every tensor has moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from slicebank_models.pretraining.checkpointing import PretrainingCheckpoint, save_checkpoint
from slicebank_models.pretraining.contrastive import ContrastiveModel, build_contrastive
from slicebank_models.pretraining.spec import PretrainingSpec

HEADS = {"projection_dim": 8, "hidden_dim": 16}
RECORD = {
    "cache": {"slices": 2500, "patients": 40, "annotated": 700},
    "train_slices": 2000,
    "train_patients": 35,
    "steps_per_epoch": 5,
}
WINDOWS = {"abdomen": (-175.0, 275.0), "lung": (-1500.0, 500.0)}


def trained_model(spec: PretrainingSpec) -> ContrastiveModel:
    """The networks of a spec, both encoders moved apart by noise and out of their first statistics."""
    model = build_contrastive(spec.model, spec.run.seed)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.rand(tensor.shape, generator=generator))
            else:
                tensor.add_(3)  # steps that norms have counted
    return model.eval()


def spec_of(architecture: str, *, input_size: int = 32, **tables: dict[str, Any]) -> PretrainingSpec:
    """The settings of a run with narrow heads."""
    model = {"architecture": architecture, "input_size": input_size, **HEADS}
    return PretrainingSpec.parse({"model": model, **tables})


def write_run(folder: Path, spec: PretrainingSpec, model: ContrastiveModel, *, step: int = 12) -> Path:
    """Writes checkpoint and record."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = PretrainingCheckpoint(
        step=step,
        model=model.state_dict(),
        optimiser={},
        spec=spec.as_dict(),
        cache_digest="ab" * 32,
        windows=WINDOWS,
        seconds=60.0,
    )
    save_checkpoint(folder, checkpoint)
    (folder / "record.json").write_text(json.dumps(RECORD))
    return folder
