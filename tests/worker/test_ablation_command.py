"""`slicebank pretrain ablate`."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slicebank_models.pretraining import ablation_figure
from slicebank_worker.commands.ablating import ablate
from tests.models.pretraining.tiny_cache import TinySource, tiny_cache

SETTINGS = """
[model]
architecture = "timm:test_convnext"
input_size = 32
projection_dim = 8
hidden_dim = 16
[views]
windows = ["abdomen"]
[optimiser]
batch_size = 8
epochs = 1
warmup_epochs = 0.0
[run]
precision = "fp32"
validation_fraction = 0.34
max_steps = 1
probe_epochs = 0
"""


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(ablate)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablate")
    tiny_cache(folder / "cache")
    tiny_cache(folder / "plain", TinySource(boxes=False))
    (folder / "settings.toml").write_text(SETTINGS)
    return folder


def test_one_command_gives_table_page_and_figure_and_a_second_does_nothing_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        folder / "cache",
        "--out",
        folder / "out",
        "--settings",
        folder / "settings.toml",
        "--lesion-weights",
        "0,2",
    ]
    code, said = run(*given)
    assert code == 0, said
    for part in ("Run 3 of 3: LECL-2 of timm:test_convnext, seed 0", "MoCo", "LECL-0", "figure2.svg"):
        assert part in said
    for name in ("ablation.csv", "ablation.md", "figure2.svg"):
        assert (folder / "out" / name).stat().st_size > 200
    written = (folder / "out" / "ablation.csv").read_text()
    assert written.count("\n") == 4
    checkpoints = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("checkpoint.pt")}
    assert len(checkpoints) == 3
    (folder / "out" / "figure2.svg").unlink()
    monkeypatch.setattr(ablation_figure, "has_matplotlib", lambda: False)
    code, said = run(*given)
    assert code == 0
    assert "pip install 'slicebank[train]'" in said
    assert not (folder / "out" / "figure2.svg").exists()
    assert (folder / "out" / "ablation.csv").read_text() == written
    assert {path: path.stat().st_mtime_ns for path in checkpoints} == checkpoints


def test_what_cannot_be_compared_is_said_in_a_sentence(folder: Path) -> None:
    given = ["--out", folder / "none", "--settings", folder / "settings.toml"]
    for arguments, sentence in (
        ((folder / "cache", "--lesion-weights", "0,x"), "--lesion-weights must be numbers"),
        ((folder / "cache", "--architectures", "nothing"), "no architecture 'nothing'"),
        ((folder / "cache", "--set", "loss.nothing=1"), "no setting loss.nothing"),
        ((folder / "plain",), "No slice of this cache has a lesion box"),
        ((folder / "nowhere",), "There is no"),
    ):
        code, said = run(*arguments, *given)
        assert (code, sentence in said) == (1, True), said
