"""`open_or_make_cache`, and `slicebank pretrain cache` on top of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_models.errors import BadSliceCache, SourceProblem
from slicebank_models.pretraining.slice_cache import SliceCache
from slicebank_worker.commands.caching import cache as cache_command
from slicebank_worker.pretraining.caching import open_or_make_cache
from slicebank_worker.pretraining.recognising import SourceOptions

OPTIONS = SourceOptions(workers=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two studies, and a box for one slice of the first."""
    uids = [
        write_dicom(
            make_phantom(PhantomSpec(seed=seed, n_slices=3, size=32)), tmp_path / "data" / str(seed)
        ).sop_instance_uids
        for seed in (0, 1)
    ]
    (tmp_path / "boxes.csv").write_text(f"sop_instance_uid,x_min,y_min,x_max,y_max\n{uids[0][1]},8,8,16,24\n")
    (tmp_path / "data" / "note.txt").write_text("hello")
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(cache_command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def test_a_cache_is_made_once_and_opened_then(folder: Path) -> None:
    sources = [str(folder / "data")]
    seen: list[tuple[int, str, int, int]] = []
    made, report = open_or_make_cache(
        sources, folder / "c", options=OPTIONS, side=32, progress=lambda *told: seen.append(told)
    )
    assert report is not None
    assert len(made) == 6
    assert seen[-1] == (0, "dicom", 6, 7)
    again, none = open_or_make_cache(sources, folder / "c", options=replace(OPTIONS, workers=2), side=32)
    assert none is None
    assert again.digest == made.digest
    assert open_or_make_cache([], folder / "c")[0].digest == made.digest


def test_a_cache_of_other_sources_or_settings_is_refused(folder: Path) -> None:
    sources = [str(folder / "data")]
    open_or_make_cache(sources, folder / "c", options=OPTIONS, side=32)
    boxes = replace(OPTIONS, boxes=folder / "boxes.csv")
    for other, options, side in (
        (["phantoms:1"], OPTIONS, 32),
        (sources, OPTIONS, 16),
        (sources, boxes, 32),
        (sources * 2, OPTIONS, 32),
    ):
        with pytest.raises(BadSliceCache, match="other sources or settings"):
            open_or_make_cache(other, folder / "c", options=options, side=side)


def test_nothing_to_open_and_nothing_to_make_it_of_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSliceCache, match="pretrain cache"):
        open_or_make_cache([], tmp_path / "c")
    with pytest.raises(SourceProblem, match=r"boxes\.csv cannot be read"):
        open_or_make_cache(["phantoms:1"], tmp_path / "c", options=SourceOptions(boxes=tmp_path / "boxes.csv"))
    assert not (tmp_path / "c").exists()


def test_no_path_of_this_machine_is_in_the_index(folder: Path) -> None:
    open_or_make_cache([str(folder / "data")], folder / "c", options=OPTIONS, side=16)
    assert str(folder) not in (folder / "c" / "index.json").read_text()


def test_the_command_counts_and_names_what_was_left_out(folder: Path) -> None:
    code, said = run(
        folder / "data", "--out", folder / "c", "--boxes", folder / "boxes.csv", "--side", 32, "--workers", 2
    )
    assert code == 0, said
    assert "dicom: 2 patients, 2 series, 6 slices, 1 of them with 1 lesion boxes." in said
    assert "Left out, 1 things: dicom: note.txt" in said
    assert "6 slices of 32 x 32" in said
    made = SliceCache(folder / "c")
    assert made.boxes.tolist() == [[8, 8, 24, 16]]
    code, said = run(
        folder / "data", "--out", folder / "c", "--boxes", folder / "boxes.csv", "--side", 32, "--workers", 1
    )
    assert code == 0
    assert "is there already" in said
    code, said = run(folder / "data", "--out", folder / "c", "--side", 32)
    assert code == 1
    assert "other sources or settings" in said


def test_without_boxes_it_is_said_what_that_means(folder: Path) -> None:
    code, said = run(folder / "data", "--out", folder / "c", "--side", 16)
    assert code == 0
    assert "No slice has a lesion box: LECL trains as MoCo v3 does then." in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--splits", "train,holdout"], "--splits must be of train, val, test"),
        (["--mask-values", "1,tumour"], "--mask-values must be whole numbers"),
        (["--assume-rescale", "one"], "two numbers, slope and intercept"),
        (["--force", "anything"], "force=not_hu"),
        (["--side", "7"], "from 16 to 4096"),
        (["--boxes", "nowhere.csv"], "nowhere.csv cannot be read"),
    ],
)
def test_settings_that_are_none_are_refused_in_a_sentence(tmp_path: Path, options: list[str], said: str) -> None:
    code, told = run("phantoms:1", "--out", tmp_path / "c", *options)
    assert code == 1
    assert said in told
    assert not (tmp_path / "c").exists()
