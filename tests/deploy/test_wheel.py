"""What goes into the wheel besides Python files: the encoders that come with their weights."""

from __future__ import annotations

import shutil
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


def test_those_of_this_tree_do() -> None:
    included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert f"{HOME}/__init__.py" in included
    assert {f"{HOME}/{card.id}/{name}" for card in SHIPPED.cards for name in FILES} <= included
