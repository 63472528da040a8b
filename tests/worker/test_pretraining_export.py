"""`slicebank pretrain export`, and `slicebank encoders add` of what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from slicebank_models.digest import weights_digest
from slicebank_models.pretraining.contrastive import ContrastiveModel
from slicebank_models.registry import EncoderRegistry
from slicebank_worker.commands.adding import add_encoder
from slicebank_worker.commands.exporting import export_pretraining
from tests.models.pretraining.trained_run import spec_of, trained_model, write_run

SPEC = spec_of("mambaout_femto")


@pytest.fixture(scope="module")
def model() -> ContrastiveModel:
    return trained_model(SPEC)


@pytest.fixture
def folder(model: ContrastiveModel, tmp_path: Path) -> Path:
    return write_run(tmp_path / "first run", SPEC, model)


def run(function: Callable[..., Any], *arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(function)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def registry(tmp_path: Path) -> EncoderRegistry:
    return EncoderRegistry(tmp_path / "data" / "encoders")


def test_two_commands_make_an_encoder_of_a_run(folder: Path, model: ContrastiveModel, tmp_path: Path) -> None:
    code, output = run(export_pretraining, folder, "--licence", "CC0")
    assert code == 0, output
    assert f"slicebank encoders add {folder / 'encoder'}" in output
    code, output = run(add_encoder, folder / "encoder", "--data-dir", tmp_path / "data")
    assert code == 0, output
    card = registry(tmp_path).get("mambaout_femto.first-run")
    assert card.weights_digest == weights_digest(model.encoder.weights())
    assert (card.licence, card.input_size, "LECL" in card.notes) == ("CC0", 32, True)


def test_names_and_words_given_at_the_registration_go_first(folder: Path, tmp_path: Path) -> None:
    assert run(export_pretraining, folder, "--id", "one", "--out", tmp_path / "out", "--fp16")[0] == 0
    given = ("--id", "two", "--licence", "CC BY 4.0", "--windows", "lung", "--description", "Ours.")
    code, output = run(add_encoder, tmp_path / "out", "--data-dir", tmp_path / "data", *given)
    assert code == 0, output
    card = registry(tmp_path).get("two")
    assert (card.licence, card.windows, card.description) == ("CC BY 4.0", ("lung",), "Ours.")
    assert card.weights_digest == json.loads((tmp_path / "out" / "card.json").read_text())["weights_digest"]


def test_a_training_file_becomes_an_encoder(folder: Path, model: ContrastiveModel, tmp_path: Path) -> None:
    code, output = run(export_pretraining, folder, "--form", "moco", "--id", "femto", "--out", tmp_path)
    assert code == 0, output
    code, output = run(
        add_encoder, tmp_path / "femto.pth.tar", "--branch", "momentum_encoder", "--data-dir", tmp_path / "data"
    )
    assert code == 0, output
    assert "moco_v3:momentum_encoder" in output
    card = registry(tmp_path).get("mambaout_femto.femto")
    assert card.weights_digest == weights_digest(model.momentum_encoder.weights())


def test_lost_weights_come_back_from_the_export(folder: Path, tmp_path: Path) -> None:
    run(export_pretraining, folder, "--id", "one", "--out", tmp_path / "out")
    arguments = (tmp_path / "out", "--data-dir", tmp_path / "data")
    assert run(add_encoder, *arguments)[0] == 0
    weights = tmp_path / "data" / "encoders" / "one" / "weights.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    for given in ((), ("--id", "one")):
        weights.unlink(missing_ok=True)
        code, output = run(add_encoder, *arguments, *given)
        assert code == 0, output
        assert weights.read_bytes() == content
    code, output = run(add_encoder, *arguments)
    assert (code, "registered already" in output) == (1, True)


def test_what_does_not_go_together_is_refused(folder: Path, tmp_path: Path) -> None:
    for options in (("--fp16",), ("--branch", "momentum_encoder")):
        assert run(export_pretraining, folder, "--form", "moco", *options)[0] == 2
    run(export_pretraining, folder, "--out", tmp_path / "out")
    code, output = run(add_encoder, tmp_path / "out", "--architecture", "vit_small", "--data-dir", tmp_path / "data")
    assert (code, "leave --architecture out" in output) == (1, True)
    (tmp_path / "empty").mkdir()
    code, output = run(export_pretraining, tmp_path / "empty")
    assert (code, "holds no checkpoint" in output) == (1, True)
    (folder / "checkpoint.pt").write_bytes(b"half")
    code, output = run(export_pretraining, folder)
    assert (code, "no whole checkpoint" in output) == (1, True)
