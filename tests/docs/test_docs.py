"""What users can meet is documented, and what is documented exists."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from typer.main import get_command

from slicebank.cli.app import build_app
from slicebank_models.heads.spec import TrainingSpec
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_service.dicom_network.settings import ListenerSettings
from slicebank_service.problems import FRAMEWORK_CODES, HTTP_STATUS
from slicebank_service.routers import (
    bags,
    checking,
    dicomweb,
    encoders,
    groups,
    heads,
    health,
    imports,
    jobs,
    metrics,
    predictions,
    reports,
    result_objects,
    series,
    uploads,
    workers,
)
from slicebank_service.settings import ServiceSettings
from slicebank_worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = ("slicebank_imaging", "slicebank_models", "slicebank_store", "slicebank_service", "slicebank_worker")


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def error_codes() -> set[str]:
    codes = set(HTTP_STATUS) | set(FRAMEWORK_CODES)
    for room in (*(f"{room}.errors" for room in ROOMS), "slicebank_service.serving.errors"):
        for value in vars(importlib.import_module(room)).values():
            if (
                isinstance(value, type)
                and issubclass(value, Exception)
                and isinstance(getattr(value, "code", None), str)
            ):
                codes.add(value.code)
    return codes


def test_every_error_code_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", page("errors")))
    assert error_codes() - explained == set()


@pytest.mark.parametrize("settings", [ServiceSettings, ListenerSettings, WorkerSettings])
def test_every_setting_is_explained(settings: type[BaseSettings]) -> None:
    documented = set(re.findall(r"`SLICEBANK_([A-Z0-9_]+)`", page("settings")))
    assert {name.upper() for name in settings.model_fields} - documented == set()


def test_every_documented_setting_exists() -> None:
    known = {name.upper() for settings in (ListenerSettings, WorkerSettings) for name in settings.model_fields}
    client = {"URL", "API_KEY", "DATA_DIR", "STATE_DIR", "TEST_DATA"}
    for path in PAGES:
        assert set(re.findall(r"SLICEBANK_([A-Z0-9_]+)", path.read_text())) - known - client == set(), path.name


def test_every_route_is_explained() -> None:
    text = page("rest") + page("operations") + page("dicomweb")
    for module in (
        bags,
        checking,
        dicomweb,
        encoders,
        groups,
        heads,
        health,
        imports,
        jobs,
        metrics,
        predictions,
        reports,
        result_objects,
        series,
        uploads,
        workers,
    ):
        for route in module.router.routes:
            path = getattr(route, "path", "")
            assert re.sub(r"\{rest:path\}$", "", path).rstrip("/") in text, path


def test_every_command_is_explained() -> None:
    text = page("cli")
    root = get_command(build_app())
    commands = getattr(root, "commands", {})
    assert {"serve", "upload", "heads"} <= set(commands)
    for name, command in commands.items():
        assert f"slicebank {name}" in text, name
        for leaf in getattr(command, "commands", {}):
            assert f"`{leaf}`" in text or f"slicebank {name} {leaf}" in text, f"{name} {leaf}"


def test_every_training_key_and_encoder_family_is_explained() -> None:
    for key in TrainingSpec().as_dict():
        assert f"`{key}`" in page("heads"), key
    for card in EncoderRegistry().cards():
        assert card.id in page("encoders") or card.id.startswith("mambaout_"), card.id


def test_figures_are_those_of_the_benchmark() -> None:
    result = json.loads(
        (ROOT / "benchmarks" / "results" / "amd-epyc-avx512-bf16-2-cores" / "phantom_lesions.json").read_text()
    )
    for figures in result["figures"]["encoders"].values():
        row = (
            f"| `{figures['encoder']}` | {figures['cross_validated_mean']:.3f}, {figures['cross_validated_sd']:.3f} "
            f"| {figures['unseen']:.3f} | {figures['top_slice_in_lesion']} of {figures['positives']} |"
        )
        assert row in page("heads")


def test_dimensions_are_those_of_the_cards() -> None:
    for encoder in (DEFAULT_ENCODER, "hu_statistics", "dummy"):
        card = EncoderRegistry().get(encoder)
        (line,) = [line for line in page("encoders").splitlines() if line.startswith(f"| `{encoder}`")]
        assert f"| {card.dim}-d |" in line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
