"""What goes into the wheel besides Python files: the encoders that come with their weights."""

from __future__ import annotations

import shutil
import tomllib
import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from slicebank_models.shipped import SHIPPED

ROOT = Path(__file__).resolve().parents[2]
HOME = "slicebank_models/shipped"
FILES = ("SHA256SUMS", "card.json", "weights.safetensors")


def test_weights_of_shipped_encoders_go_into_the_wheel(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for folder in ("clients/python/slicebank", "service/slicebank_service", "worker/slicebank_worker"):
        (project / folder).mkdir(parents=True)
    for folder in ("store/slicebank_store", "imaging/slicebank_imaging", f"models/{HOME}/dummy.lecl"):
        (project / folder).mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, project / name)
    for name in FILES:
        (project / "models" / HOME / "dummy.lecl" / name).write_text(name)
    (built,) = WheelBuilder(str(project)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        names = wheel.namelist()
    assert {f"{HOME}/dummy.lecl/{name}" for name in FILES} <= set(names)


def test_those_of_this_tree_do_with_their_licence() -> None:
    included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert f"{HOME}/__init__.py" in included
    assert {f"{HOME}/{card.id}/{name}" for card in SHIPPED.cards for name in (*FILES, "LICENSE.md")} <= included


def test_the_licence_of_the_weights_names_every_collection_they_were_trained_on() -> None:
    sources = tomllib.loads((ROOT / "benchmarks" / "shipped_encoder" / "sources.toml").read_text(encoding="utf-8"))
    (card,) = SHIPPED.cards
    licence = (SHIPPED.folder / card.id / "LICENSE.md").read_text(encoding="utf-8")
    for collection in (*sources["collections"].values(), *sources["boxes"]):
        assert collection["citation"] in licence
        assert collection["terms"] in licence
    for series in sources["shelf"]:
        assert series["collection"] or f"{series['repository']} ({series['terms']})" in licence


def test_the_project_names_both_licences() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0 AND CC-BY-4.0"
    metadata = WheelBuilder(str(ROOT)).metadata.core
    assert set(metadata.license_files) == {"LICENSE", f"models/{HOME}/mambaout_femto.lecl/LICENSE.md"}
