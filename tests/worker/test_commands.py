"""`slicebank encoders add`, `pull`, `verify`, `remove` on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import save, save_file
from typer.testing import CliRunner

from slicebank_models.cards import WeightsState
from slicebank_models.loading import load_encoder
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_models.shipped import SHIPPED
from slicebank_worker.commands.adding import add_encoder
from slicebank_worker.commands.pulling import pull_encoder
from slicebank_worker.commands.removing import remove_encoder
from slicebank_worker.commands.verifying import verify_encoders
from tests.models.hub.local_hub import COMMIT, LocalHub, forget_accounts, local_hub

MATRIX = {"matrix": torch.arange(256 * 16, dtype=torch.float32).reshape(256, 16) / 4096}
REPO, FILE = "lab/dummy", "w.safetensors"
HUB_REFERENCE = (f"hf:{REPO}:{FILE}", "--architecture", "dummy", "--id", "dummy.lab")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return load_encoder(EncoderRegistry().get(DEFAULT_ENCODER)).weights()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    forget_accounts(monkeypatch, tmp_path)
    with local_hub() as running:
        monkeypatch.setenv("SLICEBANK_HUB_ENDPOINT", running.url)
        yield running


def run(function: Callable[..., Any], data_dir: Path, *arguments: object, answer: str = "") -> tuple[int, str]:
    app = typer.Typer()
    app.command()(function)
    given = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, [*given, "--data-dir", str(data_dir)], input=answer)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def add(data_dir: Path, checkpoint: Path, *options: str) -> tuple[int, str]:
    given = ["--id", "femto.mine", "--architecture", "mambaout_femto", "--licence", "CC0"]
    return run(add_encoder, data_dir, checkpoint, *given, *options)


def registry(tmp_path: Path) -> EncoderRegistry:
    return EncoderRegistry(tmp_path / "data" / "encoders")


def test_a_moco_training_file_becomes_an_encoder(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    branches = {
        f"module.{branch}.{name}": t for branch in ("base_encoder", "momentum_encoder") for name, t in weights.items()
    }
    torch.save({"epoch": 3, "state_dict": branches}, tmp_path / "checkpoint.pth")
    code, output = add(tmp_path / "data", tmp_path / "checkpoint.pth", "--windows", "lung")
    assert code == 0, output
    assert "288-d" in output
    assert "the other encoder of the training file" in output
    card = registry(tmp_path).get("femto.mine")
    assert (card.weights, card.trained, card.windows, card.dim) == (WeightsState.PRESENT, True, ("lung",), 288)
    # The same tensors are the same weights, whatever file they came in.
    assert card.weights_digest == EncoderRegistry().get(DEFAULT_ENCODER).weights_digest
    code, output = add(tmp_path / "data", tmp_path / "checkpoint.pth")
    assert code == 1
    assert "registered already" in output


def test_one_line_is_enough(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, tmp_path / "my run 3.pth")
    code, output = run(add_encoder, tmp_path / "data", tmp_path / "my run 3.pth")
    assert code == 0, output
    card = registry(tmp_path).get("mambaout_femto.my-run-3")
    assert (card.architecture, card.licence) == ("mambaout_femto", "not stated")


def test_a_file_that_tells_no_architecture(tmp_path: Path) -> None:
    save_file(MATRIX, tmp_path / "m.safetensors")
    code, output = run(add_encoder, tmp_path / "data", tmp_path / "m.safetensors")
    assert code == 1
    assert "--architecture" in output


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    save_file(MATRIX, folder / "model.safetensors")
    code, output = run(add_encoder, tmp_path / "data", folder, "--architecture", "dummy")
    assert code == 0, output
    assert registry(tmp_path).get("dummy.exported").dim == 16


def test_a_truncated_checkpoint_is_refused_by_name(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    missing = next(iter(weights))
    torch.save({name: t for name, t in weights.items() if name != missing}, tmp_path / "short.pth")
    code, output = add(tmp_path / "data", tmp_path / "short.pth")
    assert code == 1
    assert missing in output
    assert list((tmp_path / "data" / "encoders").glob("*")) == []


def test_an_unknown_window_is_refused(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, tmp_path / "weights.pth")
    code, output = add(tmp_path / "data", tmp_path / "weights.pth", "--windows", "lungs")
    assert code == 1
    assert "lungs" in output


def test_a_pinned_file(tmp_path: Path) -> None:
    save_file(MATRIX, tmp_path / "m.safetensors")
    given = (tmp_path / "m.safetensors", "--architecture", "dummy", "--sha256")
    code, output = run(add_encoder, tmp_path / "data", *given, "0" * 64)
    assert code == 1
    assert "is pinned" in output
    code, output = run(add_encoder, tmp_path / "data", *given, hashlib.sha256(save(MATRIX)).hexdigest())
    assert code == 0, output


def test_a_sha256_that_is_none(tmp_path: Path) -> None:
    save_file(MATRIX, tmp_path / "m.safetensors")
    given = (tmp_path / "m.safetensors", "--architecture", "dummy", "--sha256")
    code, _ = run(add_encoder, tmp_path / "data", *given, "zz")
    assert code == 2
    code, output = run(add_encoder, tmp_path / "data", *given, hashlib.sha256(save(MATRIX)).hexdigest().upper())
    assert code == 0, output


def test_the_id_of_a_training_file(tmp_path: Path) -> None:
    torch.save({"state_dict": MATRIX}, tmp_path / "run_0299.pth.tar")
    code, output = run(add_encoder, tmp_path / "data", tmp_path / "run_0299.pth.tar", "--architecture", "dummy")
    assert code == 0, output
    assert registry(tmp_path).registered_ids() == ["dummy.run_0299"]


def test_a_setting_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLICEBANK_HUB_ENDPOINT", "ftp://hub")
    code, output = run(pull_encoder, tmp_path / "data", *HUB_REFERENCE)
    assert code == 2
    assert "SLICEBANK_HUB_ENDPOINT" in output


def test_pulling_asks_for_the_licence(tmp_path: Path, hub: LocalHub) -> None:
    sha256 = hub.put(REPO, FILE, save(MATRIX))
    hub.licences[REPO] = "cc-by-4.0"
    code, output = run(pull_encoder, tmp_path / "data", *HUB_REFERENCE, answer="y\n")
    assert code == 1, "nobody sits at a terminal, so nobody can have said yes"
    assert "cc-by-4.0" in output
    assert "--accept-licence" in output
    code, output = run(pull_encoder, tmp_path / "data", *HUB_REFERENCE, "--accept-licence")
    assert code == 0, output
    assert sha256 in output
    assert COMMIT in output
    card = registry(tmp_path).get("dummy.lab")
    assert card.source is not None
    assert (card.source.sha256, card.licence) == (sha256, "cc-by-4.0")


PULL_AT_A_TERMINAL = """
import sys
import typer
from slicebank_worker.commands.pulling import pull_encoder
app = typer.Typer()
app.command()(pull_encoder)
app()
"""


@pytest.mark.parametrize("said", ["y", "n"])
def test_at_a_terminal_one_is_asked(tmp_path: Path, hub: LocalHub, said: str) -> None:
    hub.put(REPO, FILE, save(MATRIX))
    master, terminal = pty.openpty()
    arguments = [*HUB_REFERENCE, "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(
        [sys.executable, "-c", PULL_AT_A_TERMINAL, *arguments], stdin=terminal, stdout=subprocess.PIPE, text=True
    ) as process:
        os.write(master, f"{said}\n".encode())
        output, _ = process.communicate(timeout=100)
    os.close(master)
    os.close(terminal)
    assert "Do you accept them?" in output
    assert process.returncode == (0 if said == "y" else 1), output
    assert registry(tmp_path).registered("dummy.lab") == (said == "y")


def test_a_pull_without_a_network(tmp_path: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLICEBANK_OFFLINE", "1")
    code, output = run(pull_encoder, tmp_path / "data", *HUB_REFERENCE, "--accept-licence")
    assert code == 1
    assert "encoders add" in output
    assert hub.asked == []
    mirror = tmp_path / "mirror" / REPO
    mirror.mkdir(parents=True)
    (mirror / FILE).write_bytes(save(MATRIX))
    monkeypatch.setenv("SLICEBANK_HUB_ENDPOINT", f"file://{tmp_path}/mirror")
    code, output = run(pull_encoder, tmp_path / "data", *HUB_REFERENCE, "--accept-licence")
    assert code == 0, output


def test_published_weights_brought_by_hand(tmp_path: Path, hub: LocalHub) -> None:
    """Their card is known, so that the file alone is enough."""
    hub.put(REPO, FILE, save(MATRIX))
    run(pull_encoder, tmp_path / "data", *HUB_REFERENCE, "--accept-licence")
    before = registry(tmp_path).get("dummy.lab")
    (tmp_path / "data" / "encoders" / "dummy.lab" / "weights.safetensors").unlink()
    save_file({"matrix": MATRIX["matrix"] + 1}, tmp_path / "wrong.safetensors")
    code, output = run(add_encoder, tmp_path / "data", tmp_path / "wrong.safetensors", "--id", "dummy.lab")
    assert code == 1
    assert "is pinned" in output
    (tmp_path / "brought.safetensors").write_bytes(save(MATRIX))
    code, output = run(add_encoder, tmp_path / "data", tmp_path / "brought.safetensors", "--id", "dummy.lab")
    assert code == 0, output
    assert registry(tmp_path).get("dummy.lab") == before


def test_verifying_and_removing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, output = run(verify_encoders, data)
    assert code == 0
    if shipped := SHIPPED.cards:
        assert output.split()[:2] == ["sound", f"{shipped[0].id}:"]
    else:
        assert output == "No weights are stored here, so there is nothing to read."
    save_file(MATRIX, tmp_path / "m.safetensors")
    run(add_encoder, data, tmp_path / "m.safetensors", "--architecture", "dummy", "--id", "mine")
    code, output = run(verify_encoders, data)
    assert (code, output.count("sound "), "sound mine: " in output) == (0, 1 + len(shipped), True)
    file = data / "encoders" / "mine" / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    code, output = run(verify_encoders, data)
    assert code == 1
    assert "damaged mine: weights.safetensors was changed" in output
    code, output = run(verify_encoders, data, "dummy", "mine", "--json")
    assert code == 1
    assert [item["soundness"] for item in json.loads(output)["items"]] == ["not_stored", "damaged"]
    code, output = run(verify_encoders, data, "nonesuch")
    assert code == 1
    assert "no encoder 'nonesuch'" in output
    code, output = run(remove_encoder, data, "mine", answer="n\n")
    assert code == 1
    assert file.exists()
    code, output = run(remove_encoder, data, "mine", "-y")
    assert code == 0
    assert not file.parent.exists()
    code, output = run(remove_encoder, data, "mine", "-y")
    assert code == 1
    assert "neither pulled nor added" in output
