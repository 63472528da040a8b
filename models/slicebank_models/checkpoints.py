"""Checkpoints as they come: plain, converted or MoCo v3 training files, with every key accounted for.

The tensors (`checkpoint_reading.py`) may lie under prefixes that wrappers leave (`module.`, `encoder.`).
A MoCo v3 training file holds `base_encoder`, `momentum_encoder` and `predictor` side by side; one of the encoders is
taken. Every key is then mapped, or dropped for a stated reason, or the file is refused with the difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slicebank_models.checkpoint_reading import read_tensors
from slicebank_models.encoders.encoder import TRAINING_COUNTER
from slicebank_models.encoders.family import DroppedKey, KeyRule, Reshaped
from slicebank_models.errors import CheckpointMismatch, UnreadableCheckpoint

JSON = dict[str, Any]

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
class Checkpoint:
    """A checkpoint's tensors, sorted; keys are those of the file throughout.

    Attributes:
        layout: As in `MappingReport`.
        kept: Key in the file to the rest of the key, prefixes stripped, and its tensor.
        dropped: Left out before any architecture was asked.
        beside: Entries that are no tensors.
    """

    layout: str = "plain"
    kept: dict[str, tuple[str, Tensor]] = field(default_factory=dict)
    dropped: list[DroppedKey] = field(default_factory=list)
    beside: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by names without prefixes: what families infer architectures from."""
        return {rest: tuple(tensor.shape) for rest, tensor in self.kept.values()}


def open_checkpoint(path: Path, *, branch: str = BRANCHES[0]) -> Checkpoint:
    """Reads a checkpoint, strips wrappers' prefixes and picks one encoder of a training file.

    Args:
        path: The file, or a folder with one.
        branch: Which encoder of a MoCo v3 training file to take: `base_encoder` (what its linear evaluation uses) or
            `momentum_encoder`.

    Raises:
        UnreadableCheckpoint: See `read_tensors`.
        UnsafeCheckpoint: See `read_tensors`.
    """
    tensors, beside = read_tensors(path)
    sorted_ = _sort(tensors, branch)
    sorted_.beside = beside
    return sorted_


def map_checkpoint(
    checkpoint: Checkpoint | Path,
    expected: Mapping[str, Tensor],
    rule_for: Callable[[frozenset[str]], KeyRule],
    *,
    branch: str = BRANCHES[0],
) -> MappedCheckpoint:
    """Maps a checkpoint onto an architecture.

    Args:
        checkpoint: From `open_checkpoint`, or what to open.
        expected: Tensors of the module by name; only names and shapes are used.
        rule_for: Given all keys, prefixes stripped, returns the architecture's rule for one key.
        branch: See `open_checkpoint`.

    Raises:
        CheckpointMismatch: A tensor is missing, left over or of another shape.
        UnreadableCheckpoint: See `read_tensors`; or numbers of another kind where weights should be.
        UnsafeCheckpoint: See `read_tensors`.
    """
    sorting = open_checkpoint(checkpoint, branch=branch) if isinstance(checkpoint, Path) else checkpoint
    rule = rule_for(frozenset(rest for rest, _ in sorting.kept.values()))
    dropped = list(sorting.dropped)
    found: dict[str, tuple[str, Tensor]] = {}
    left_over: list[str] = []
    for key, (rest, tensor) in sorting.kept.items():
        counter = rest.rpartition(".")[2] == TRAINING_COUNTER
        named = DroppedKey(rest, "step counter of BatchNorm") if counter else rule(rest)
        if isinstance(named, Reshaped):
            if named.fits(tensor.shape):
                tensor = tensor.reshape(named.shape)
            named = named.name
        if isinstance(named, DroppedKey):
            dropped.append(DroppedKey(key, named.reason))
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
    if no_weights := sorted(key for name, (key, tensor) in found.items() if _is_other_kind(tensor, expected[name])):
        raise UnreadableCheckpoint(
            f"{len(no_weights)} tensors hold integers, truth values or complex numbers where the architecture has real "
            f"weights, such as {no_weights[0][:128]}: the file is of a quantised or another model."
        )
    mapped = {name: tensor.to(torch.float32) for name, (_, tensor) in found.items()}
    if endless := next((name for name, tensor in mapped.items() if not torch.isfinite(tensor).all()), None):
        raise UnreadableCheckpoint(
            f"Tensor {endless} holds numbers that are not finite: the training diverged, or the file is damaged."
        )
    report = MappingReport(
        sorting.layout, tuple((key, name) for name, (key, _) in found.items()), tuple(dropped), sorting.beside
    )
    return MappedCheckpoint(mapped, report)


def _is_other_kind(found: Tensor, expected: Tensor) -> bool:
    """Whether float32 would make weights of what are none: codes of quantised layers, counters, masks."""
    return expected.is_floating_point() and not found.is_floating_point()


def _sort(tensors: Mapping[str, Tensor], branch: str) -> Checkpoint:
    """Strips wrappers' prefixes and picks one encoder of a training file."""
    stripped = _strip({key: key for key in tensors})
    sorting = Checkpoint()
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
