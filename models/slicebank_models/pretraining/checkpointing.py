"""Checkpoints of a run: written whole or not at all, the last two kept, read without running code."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slicebank_models.errors import BadPretrainingCheckpoint
from slicebank_models.pretraining.spec import PretrainingSpec

JSON = dict[str, Any]

LATEST = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
FORMAT = 1

# A run may go on with other values of these: they change neither weights nor curve.
FREE_SETTINGS = frozenset(
    f"run.{name}"
    for name in ("max_steps", "log_steps", "checkpoint_steps", "readers", "probe_epochs", "probe_slices", "compile")
)


@dataclass(frozen=True, slots=True, eq=False)
class PretrainingCheckpoint:
    """Everything that a run goes on from; order of slices and views follow from seed and step.

    Attributes:
        step: Steps done.
        model: State of `ContrastiveModel`: both networks, heads and running statistics.
        optimiser: State of the optimiser.
        spec: Settings, as `PretrainingSpec.as_dict`.
        cache_digest: Of the slices.
        windows: HU of the windows by name.
        seconds: Of training so far.
    """

    step: int
    model: Mapping[str, Tensor]
    optimiser: JSON
    spec: JSON
    cache_digest: str
    windows: Mapping[str, tuple[float, float]]
    seconds: float


def save_checkpoint(folder: Path, checkpoint: PretrainingCheckpoint) -> Path:
    """Writes `checkpoint.pt`; the one before becomes `checkpoint.previous.pt`. Killed at any moment, one of both is whole."""
    latest, fresh = folder / LATEST, folder / f"{LATEST}.tmp"
    document = {
        "slicebank_pretraining": FORMAT,
        "step": checkpoint.step,
        "model": dict(checkpoint.model),
        "optimiser": checkpoint.optimiser,
        "spec": checkpoint.spec,
        "cache_digest": checkpoint.cache_digest,
        "windows": {name: list(pair) for name, pair in checkpoint.windows.items()},
        "seconds": checkpoint.seconds,
    }
    with fresh.open("wb") as file:
        torch.save(document, file)
        file.flush()
        os.fsync(file.fileno())
    if latest.exists():
        latest.replace(folder / PREVIOUS)
    fresh.replace(latest)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return latest


def load_checkpoint(folder: Path) -> PretrainingCheckpoint | None:
    """The last checkpoint of a run that can be read, on the CPU; None where there is none yet.

    Raises:
        BadPretrainingCheckpoint: There are files, and none of them is a checkpoint of a run.
    """
    problems = []
    for name in (LATEST, PREVIOUS):
        if (folder / name).is_file():
            try:
                return read_checkpoint(folder / name)
            except BadPretrainingCheckpoint as error:
                problems.append(str(error))
    if problems:
        raise BadPretrainingCheckpoint(" ".join(problems))
    return None


def read_checkpoint(path: Path) -> PretrainingCheckpoint:
    """Reads one file.

    Raises:
        BadPretrainingCheckpoint: It is no checkpoint of a run, or a damaged one.
    """
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        found = document["slicebank_pretraining"]
        if found == FORMAT:
            return _parsed(document)
    except Exception as error:  # damaged pickles fail in as many ways as there are errors
        raise BadPretrainingCheckpoint(
            f"{path.name} is no whole checkpoint of a pre-training run ({type(error).__name__})."
        ) from error
    raise BadPretrainingCheckpoint(f"{path.name} has format {found!r:.20}; this version reads {FORMAT}.")


def _parsed(document: Mapping[str, Any]) -> PretrainingCheckpoint:
    return PretrainingCheckpoint(
        step=int(document["step"]),
        model=document["model"],
        optimiser=document["optimiser"],
        spec=document["spec"],
        cache_digest=str(document["cache_digest"]),
        windows={name: (float(low), float(high)) for name, (low, high) in document["windows"].items()},
        seconds=float(document["seconds"]),
    )


def require_same_run(
    checkpoint: PretrainingCheckpoint,
    spec: PretrainingSpec,
    cache_digest: str,
    windows: Mapping[str, tuple[float, float]],
) -> None:
    """Refuses to go on from a checkpoint with other slices or with settings that decide the curve.

    Raises:
        BadPretrainingCheckpoint: What differs, by name.
    """
    differing = differences(checkpoint.spec, spec.as_dict())
    if differing:
        raise BadPretrainingCheckpoint(
            f"The checkpoint in this folder is of a run with other settings: {'; '.join(differing)}. Go on with those, or "
            "begin another run in an empty folder."
        )
    if checkpoint.cache_digest != cache_digest:
        raise BadPretrainingCheckpoint(
            "The checkpoint in this folder is of a run on other slices. Begin another run in an empty folder; "
            "model.initial_weights takes the weights along."
        )
    if dict(checkpoint.windows) != dict(windows):
        raise BadPretrainingCheckpoint("The checkpoint in this folder is of a run with other HU for its windows.")


def differences(saved: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What differs between two specs as `PretrainingSpec.as_dict` has them, but for `FREE_SETTINGS`.

    A setting that a spec lacks, as of an older version, is the default.
    """
    defaults = PretrainingSpec().as_dict()
    found = []
    for table, values in wanted.items():
        for key, value in values.items():
            name = f"{table}.{key}"
            before = saved.get(table, {}).get(key, defaults[table][key])
            if name not in FREE_SETTINGS and before != value:
                found.append(f"{name} was {before!r} and is {value!r}")
    return found
