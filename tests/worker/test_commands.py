"""`slicebank encoders add`: a checkpoint of one's own becomes an encoder, or is refused with the difference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from slicebank_models.cards import WeightsState
from slicebank_models.loading import load_encoder
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_worker.commands import add_encoder


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return load_encoder(EncoderRegistry().get(DEFAULT_ENCODER)).weights()


def add(data_dir: Path, checkpoint: Path, *options: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(add_encoder)
    given = ["--id", "femto.mine", "--architecture", "mambaout_femto", "--licence", "CC0", "--data-dir", str(data_dir)]
    result = CliRunner().invoke(app, [str(checkpoint), *given, *options])
    return result.exit_code, result.output


def test_a_moco_training_file_becomes_an_encoder(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    branches = {
        f"module.{branch}.{name}": t for branch in ("base_encoder", "momentum_encoder") for name, t in weights.items()
    }
    torch.save({"epoch": 3, "state_dict": branches}, tmp_path / "checkpoint.pth")
    code, output = add(tmp_path / "data", tmp_path / "checkpoint.pth", "--windows", "lung")
    assert code == 0, output
    assert "288-d" in output
    card = EncoderRegistry(tmp_path / "data" / "encoders").get("femto.mine")
    assert (card.weights, card.trained, card.windows, card.dim) == (WeightsState.PRESENT, True, ("lung",), 288)
    # The same tensors are the same weights, whatever file they came in.
    assert card.weights_digest == EncoderRegistry().get(DEFAULT_ENCODER).weights_digest
    code, output = add(tmp_path / "data", tmp_path / "checkpoint.pth")
    assert code == 1
    assert "registered already" in " ".join(output.split())


def test_a_truncated_checkpoint_is_refused_by_name(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    missing = next(iter(weights))
    torch.save({name: t for name, t in weights.items() if name != missing}, tmp_path / "short.pth")
    code, output = add(tmp_path / "data", tmp_path / "short.pth")
    assert code == 1
    assert missing in output
    assert not (tmp_path / "data" / "encoders" / "femto.mine").exists()


def test_an_unknown_window_is_refused(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, tmp_path / "weights.pth")
    code, output = add(tmp_path / "data", tmp_path / "weights.pth", "--windows", "lungs")
    assert code == 1
    assert "lungs" in output
