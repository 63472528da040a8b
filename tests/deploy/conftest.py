"""The files of the deployment, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.image import Image, read_image
from tests.deploy.installed import ROOT


@pytest.fixture(scope="session")
def images() -> dict[str, Image]:
    """By their names in compose and Kubernetes, without tag."""
    return {f"slicebank-{name}": read_image(ROOT / "docker" / f"{name}.Dockerfile") for name in ("api", "worker")}


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="session")
def manifests() -> dict[Path, list[dict[str, Any]]]:
    """Every Kubernetes file with its documents."""
    paths = sorted((ROOT / "deploy" / "kubernetes").rglob("*.yaml"))
    return {path: list(yaml.safe_load_all(path.read_text())) for path in paths}
