"""Heads: what they answer, how they were trained, how good they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class Task:
    """What a head answers: binary, multilabel or multiclass, over its labels."""

    kind: str = "binary"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """One immutable version of a head; `name` groups versions and stands for the promoted one."""

    head_id: str
    name: str = ""
    version: int = 0
    promoted: bool = False
    state: str = ""
    encoder: str = ""
    task: Task = field(default_factory=Task)
    training: JSON = field(default_factory=dict)
    head: JSON = field(default_factory=dict)
    protocol: JSON = field(default_factory=dict)
    metrics: JSON = field(default_factory=dict)
    recipe: JSON = field(default_factory=dict)
    versions: tuple[str | JSON, ...] = ()
    promotions: tuple[JSON, ...] = ()
    training_data_deleted: bool = False
    n_cases: int = 0
    job_id: str | None = None
    created_at: datetime | None = None
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class HeadTraining:
    """A training that was accepted; `unmatched` are the keys of rows without a bag, which are left out."""

    head_id: str
    job_id: str
    name: str = ""
    version: int = 0
    n_cases: int = 0
    unmatched: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    raw: JSON = field(default_factory=dict, repr=False, compare=False)
