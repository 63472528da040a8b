"""How large the batches of an encoder may be: as many rows as fit into the share of memory that batches have.

| | rows of slices | volumes of scans |
|---|---|---|
| CPU | every runner has a batch of its own, and all together fit; where not even one row a runner does, fewer runners work on that encoder | one at a time, on all cores |
| GPU | a batch fits beside the weights | one at a time |

An encoder whose card does not say what a row takes is tried with the usual sizes; a batch that is too large is halved.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch

from slicebank_models.cards import EncoderCard, EncoderLevel
from slicebank_worker.device import Runners
from slicebank_worker.engine import EngineLimits
from slicebank_worker.settings import WorkerSettings

# The rest is for weights, decoded slices, the volumes of scans in the making, and whoever else works on the machine.
_CPU_SHARE = 0.25
_GPU_SHARE = 0.8
_MB = 1 << 20
_FLOAT32_BYTES = 4
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def batch_memory(plan: Runners, settings: WorkerSettings) -> int:
    """Bytes that the batches in hand on one device may take together."""
    if settings.batch_memory_mb:
        return settings.batch_memory_mb * _MB
    if plan.on_gpu:
        return int(_GPU_SHARE * min(torch.cuda.get_device_properties(device).total_memory for device in plan.devices))
    return int(_CPU_SHARE * host_memory())


def host_memory(limits: tuple[Path, ...] = _CGROUP_LIMITS) -> int:
    """Bytes of memory of this machine, or of the container that this process runs in.

    Args:
        limits: files that a container's limit is read from; those that are absent or hold no number set none.
    """
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        text = path.read_text("ascii").strip() if path.is_file() else ""
        if text.isdigit():
            found = min(found, int(text))
    return found


def limits_of(card: EncoderCard, plan: Runners, memory: int) -> EngineLimits:
    """How batches of an encoder are made.

    Args:
        card: of the encoder.
        plan: the worker's runners; a batch size that somebody set holds for slices as it is.
        memory: bytes that batches in hand may take together.
    """
    usual = plan.limits
    if card.level is EncoderLevel.SCAN:
        return replace(usual, batch_sizes=(1,), first_size=1, at_once=None if plan.on_gpu else 1)
    if not card.row_bytes or len(usual.batch_sizes) == 1:
        return usual
    if plan.on_gpu:
        fitting = max(1, (memory - _FLOAT32_BYTES * card.parameters) // card.row_bytes)
        smaller = tuple(1 << power for power in range(usual.batch_sizes[0].bit_length()))
        return _among(usual, [size for size in (*smaller, *usual.batch_sizes) if size <= fitting])
    runners = len(plan.devices)
    fitting = max(1, memory // card.row_bytes)
    if fitting < runners:
        return replace(usual, batch_sizes=(1,), first_size=1, at_once=fitting)
    return _among(usual, [size for size in (1, *usual.batch_sizes) if size <= fitting // runners])


def _among(usual: EngineLimits, fitting: list[int]) -> EngineLimits:
    """The usual sizes that fit, or the largest smaller ones."""
    sizes = [size for size in usual.batch_sizes if size in fitting] or sorted(set(fitting))[-2:]
    first = max((size for size in sizes if size <= usual.first_size), default=sizes[0])
    return replace(usual, batch_sizes=tuple(sizes), first_size=first)
