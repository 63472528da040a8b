"""Checkpoints as they come: plain, converted or MoCo v3 training files, with every key accounted for.

Two containers are read, safetensors and torch files of plain tensors (`weights_only=True`: no code runs). The
tensors may lie under `state_dict`, `model` or the like and under prefixes that wrappers leave (`module.`, `encoder.`).
A MoCo v3 training file holds `base_encoder`, `momentum_encoder` and `predictor` side by side; one of the encoders is
taken. Every key is then mapped, or dropped for a stated reason, or the file is refused with the difference.
"""

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from slicebank_models.encoders.encoder import TRAINING_COUNTER
from slicebank_models.encoders.family import DroppedKey, KeyRule, Reshaped
from slicebank_models.errors import CheckpointMismatch, UnreadableCheckpoint, UnsafeCheckpoint

JSON = dict[str, Any]

WRAPPERS = ("state_dict", "model_state_dict", "model", "encoder", "backbone")
PREFIXES = ("module.", "_orig_mod.", "model.", "encoder.", "backbone.", "trunk.")
BRANCHES = ("base_encoder", "momentum_encoder")


@dataclass(frozen=True, slots=True)
class MappingReport:
    """What became of every entry of a checkpoint.

    Attributes:
        layout: `plain`, or `moco_v3:<branch>` for a training file.
        mapped: (key in the file, name in the module), one a tensor.
        dropped: Tensors left out on purpose.
        ignored_entries: Entries beside the tensors, such as an optimiser's state.
    """

    layout: str
    mapped: tuple[tuple[str, str], ...]
    dropped: tuple[DroppedKey, ...]
    ignored_entries: tuple[str, ...] = ()

    def as_dict(self) -> JSON:
        """Returns the report as JSON-able values."""
        return {
            "layout": self.layout,
            "mapped": [list(pair) for pair in self.mapped],
            "dropped": [{"key": entry.key, "reason": entry.reason} for entry in self.dropped],
            "ignored_entries": list(self.ignored_entries),
        }


@dataclass(frozen=True, slots=True)
class MappedCheckpoint:
    """Float32 tensors under the module's names, and how they were found."""

    tensors: dict[str, Tensor]
    report: MappingReport


@dataclass(slots=True)
class _Sorting:
    """A checkpoint's tensors while they are being sorted; keys are those of the file throughout."""

    layout: str = "plain"
    kept: dict[str, tuple[str, Tensor]] = field(default_factory=dict)  # key in the file -> (rest of the key, tensor)
    dropped: list[DroppedKey] = field(default_factory=list)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Reads a file's tensors by their full keys, and the names of entries that are none.

    Raises:
        UnreadableCheckpoint: Neither container, or no tensors in it.
        UnsafeCheckpoint: A pickle that asks for more than tensors and plain values.
    """
    entries = _read(path)
    beside: list[str] = []
    while wrapper := next((name for name in WRAPPERS if isinstance(entries.get(name), Mapping)), None):
        beside += sorted(str(name) for name in entries if name != wrapper)
        entries = dict(entries[wrapper])
    tensors = {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}
    beside += sorted(str(key) for key, value in entries.items() if not isinstance(value, Tensor))
    if not tensors:
        raise UnreadableCheckpoint(
            f"{path.name} holds no tensors; found the entries {', '.join(beside[:20]) or 'none'}. "
            f"Tensors are looked for at the top and under {', '.join(WRAPPERS)}."
        )
    return tensors, tuple(beside)


def _read(path: Path) -> dict[Any, Any]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpoint(
            f"{path.name} holds Python objects besides tensors, and loading them could run code. "
            "Convert it to safetensors on a machine you trust."
        ) from error
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UnreadableCheckpoint(f"{path.name} is neither a safetensors nor a torch file: {error}") from error
    if not isinstance(loaded, Mapping):
        raise UnreadableCheckpoint(f"{path.name} holds a {type(loaded).__name__}, not a dictionary of tensors.")
    return dict(loaded)


def map_checkpoint(
    path: Path,
    expected: Mapping[str, Tensor],
    rule_for: Callable[[frozenset[str]], KeyRule],
    *,
    branch: str = BRANCHES[0],
) -> MappedCheckpoint:
    """Reads a checkpoint and maps it onto an architecture.

    Args:
        path: The file.
        expected: Tensors of the module by name; only names and shapes are used.
        rule_for: Given all keys, prefixes stripped, returns the architecture's rule for one key.
        branch: Which encoder of a MoCo v3 training file to take: `base_encoder` (what its linear evaluation uses) or
            `momentum_encoder`.

    Raises:
        CheckpointMismatch: A tensor is missing, left over or of another shape.
        UnreadableCheckpoint: See `read_tensors`.
        UnsafeCheckpoint: See `read_tensors`.
    """
    tensors, beside = read_tensors(path)
    sorting = _sort(tensors, branch)
    rule = rule_for(frozenset(rest for rest, _ in sorting.kept.values()))
    found: dict[str, tuple[str, Tensor]] = {}
    left_over: list[str] = []
    for key, (rest, tensor) in sorting.kept.items():
        named = DroppedKey(rest, "step counter of BatchNorm") if TRAINING_COUNTER in rest else rule(rest)
        if isinstance(named, Reshaped) and tensor.numel() == math.prod(named.shape):
            tensor = tensor.reshape(named.shape)
        if isinstance(named, Reshaped):
            named = named.name
        if isinstance(named, DroppedKey):
            sorting.dropped.append(DroppedKey(key, named.reason))
        elif named in expected and named not in found:
            found[named] = (key, tensor)
        else:
            left_over.append(key)
    missing = tuple(name for name in expected if name not in found)
    wrong_shape = tuple(
        (name, tuple(expected[name].shape), tuple(tensor.shape))
        for name, (_, tensor) in found.items()
        if tensor.shape != expected[name].shape
    )
    if missing or left_over or wrong_shape:
        raise CheckpointMismatch(missing, tuple(left_over), wrong_shape)
    report = MappingReport(
        sorting.layout, tuple((key, name) for name, (key, _) in found.items()), tuple(sorting.dropped), beside
    )
    return MappedCheckpoint({name: tensor.to(torch.float32) for name, (_, tensor) in found.items()}, report)


def _sort(tensors: Mapping[str, Tensor], branch: str) -> _Sorting:
    """Strips wrappers' prefixes and picks one encoder of a training file."""
    stripped = _strip({key: key for key in tensors})
    sorting = _Sorting()
    if not any(rest.startswith(f"{name}.") for rest in stripped.values() for name in BRANCHES):
        sorting.kept = {key: (rest, tensors[key]) for key, rest in stripped.items()}
        return sorting
    sorting.layout = f"moco_v3:{branch}"
    other = next(name for name in BRANCHES if name != branch)
    chosen: dict[str, str] = {}
    for key, rest in stripped.items():
        if rest.startswith(f"{other}."):
            sorting.dropped.append(DroppedKey(key, f"the other encoder of the training file ({branch} is taken)"))
        elif rest.startswith("predictor."):
            sorting.dropped.append(DroppedKey(key, "predictor of the contrastive training"))
        else:
            chosen[key] = rest.removeprefix(f"{branch}.")
    sorting.kept = {key: (rest, tensors[key]) for key, rest in _strip(chosen).items()}
    return sorting


def _strip(rests: dict[str, str]) -> dict[str, str]:
    """Takes off prefixes that all keys share, as long as there are any."""
    while rests and (shared := next((p for p in PREFIXES if all(r.startswith(p) for r in rests.values())), None)):
        rests = {key: rest.removeprefix(shared) for key, rest in rests.items()}
    return rests
