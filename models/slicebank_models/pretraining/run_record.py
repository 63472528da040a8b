"""What a run leaves beside its checkpoints: its settings, and record.json, which says on what and with what it ran."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slicebank_models.pretraining import settings_file
from slicebank_models.pretraining.spec import PretrainingSpec

JSON = dict[str, Any]

NAME = "record.json"
# Of whose versions a run depends.
PACKAGES = ("slicebank", "torch", "timm", "numpy")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Facts of a run; the settings stand in settings.toml.

    Attributes:
        cache_digest: Of the slices.
        cache: Sources and counts, as the cache records them.
        windows: Lowest and highest HU of the windows by name.
        train_slices: How many were trained on.
        validation_slices: How many were held out.
        train_patients: Of these slices.
        validation_patients: Of these slices.
        steps_per_epoch: Whole batches in a pass.
        total_steps: Of the whole run.
        step: Steps done.
        seconds: Of training, over all resumptions.
        device: Name of what the last part of the run ran on.
        processes: How many trained together.
        precision: What the networks computed in: float32 or bfloat16.
        seed: Of everything.
        probe: What the linear probe asks: `label`, `lesion` or nothing.
        warning: What the collapse alarm said; empty where it said nothing.
        versions: Of the packages that matter, and Python's.
        began: When, UTC.
        updated: When this file was written, UTC.
    """

    cache_digest: str
    cache: JSON
    windows: Mapping[str, tuple[float, float]]
    train_slices: int
    validation_slices: int
    train_patients: int
    validation_patients: int
    steps_per_epoch: int
    total_steps: int
    step: int
    seconds: float
    device: str
    processes: int
    precision: str
    seed: int
    probe: str
    warning: str
    versions: Mapping[str, str]
    began: str
    updated: str


def write_record(folder: Path, record: RunRecord) -> None:
    """Replaces record.json."""
    _replace(folder / NAME, json.dumps(asdict(record), indent=2) + "\n")


def write_settings(folder: Path, spec: PretrainingSpec) -> None:
    """Replaces settings.toml."""
    _replace(folder / settings_file.NAME, settings_file.settings_toml(spec))


def began(folder: Path) -> str:
    """When the run in this folder began; now, where there is none."""
    path = folder / NAME
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["began"])
    except (OSError, ValueError, KeyError, TypeError):
        return now()


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
