from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from slicebank_service.admin.backing_up import backup, restore
from slicebank_service.admin.collecting import gc
from slicebank_service.admin.migrating import migrate
from slicebank_service.admin.verifying import verify
from slicebank_service.serving.data_dir import only_one
from slicebank_store.blobs import DirectoryBlobs
from slicebank_store.catalogue import Catalogue
from tests.store.builders import PROJECT
from tests.store.upkeep.stocking import embed


def run(command: Any, *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a bag that is sound and one that is gone."""
    root = tmp_path / "data"
    assert run(migrate, "--data-dir", str(root))[0] == 0
    return root


@pytest.fixture
def catalogue(folder: Path) -> Iterator[Catalogue]:
    catalogue = Catalogue.open(f"sqlite:///{folder / 'catalogue.sqlite'}")
    yield catalogue
    catalogue.close()


def test_verify_says_what_is_wrong_and_mends_it(folder: Path, catalogue: Catalogue) -> None:
    blobs = DirectoryBlobs(folder / "blobs")
    embed(catalogue, blobs, "1.1")
    lost, _ = embed(catalogue, blobs, "1.2")
    assert run(verify, "--data-dir", str(folder))[:2] == (
        0,
        "Looked at 2 bags, 0 heads, 0 stacks of kept pixels, 2 stored blobs.\nNothing is wrong.\n",
    )
    blobs.delete(lost.blob_key)
    status, output, _ = run(verify, "--data-dir", str(folder), "--quick")
    assert status == 1
    assert f"blob_missing: It is not there. │ {lost.blob_key}" in output
    status, output, _ = run(verify, "--data-dir", str(folder), "--json")
    assert status == 1
    found = json.loads(output)
    assert (found["checked"]["bag"], found["counts"]) == (2, {"blob_missing": 1})
    assert found["findings"][0]["owner"] == lost.bag_id
    assert run(verify, "--data-dir", str(folder), "--repair")[0] == 0
    assert catalogue.bags.get(PROJECT, lost.bag_id) is None
    assert run(verify, "--data-dir", str(folder))[0] == 0


def test_gc_counts_and_removes(folder: Path, catalogue: Catalogue) -> None:
    blobs = DirectoryBlobs(folder / "blobs")
    embed(catalogue, blobs, "1.1")
    catalogue.deletions.delete_series(PROJECT, "1.1")
    assert "1 orphaned blobs, " in run(gc, "--data-dir", str(folder), "--dry-run")[1]
    status, output, _ = run(gc, "--data-dir", str(folder), "--json")
    assert status == 0
    assert json.loads(output)["removed"]["orphan"]["count"] == 1
    assert list(blobs.keys()) == []


def test_backup_and_restore(folder: Path, catalogue: Catalogue, tmp_path: Path) -> None:
    embed(catalogue, DirectoryBlobs(folder / "blobs"), "1.1")
    target = str(tmp_path / "backup.gz")
    status, output, _ = run(backup, target, "--data-dir", str(folder))
    assert status == 0
    assert "1 bags" in output
    assert "pseudonym keys are not in it" in output
    assert stat.S_IMODE(Path(target).stat().st_mode) == 0o600

    elsewhere = str(tmp_path / "elsewhere")
    with only_one(Path(elsewhere)):
        status, _, refusal = run(restore, target, "--data-dir", elsewhere)
    assert status == 1
    assert "already serves" in refusal
    assert run(restore, target, "--data-dir", elsewhere)[0] == 0
    status, _, refusal = run(restore, target, "--data-dir", elsewhere)
    assert status == 1
    assert "--replace" in refusal
    assert run(restore, target, "--data-dir", elsewhere, "--replace")[0] == 0


def test_refusals_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, output, refusal = run(verify, "--data-dir", str(tmp_path))
    assert (status, output) == (1, "")
    assert "There is no catalogue" in refusal
    monkeypatch.setenv("SLICEBANK_BLOBS_URL", "gopher://bucket")
    status, _, refusal = run(verify, "--data-dir", str(tmp_path))
    assert status == 2
    assert "blobs_url" in refusal
