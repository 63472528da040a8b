"""Figures of a head."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure; part is `pooled` (out-of-fold predictions of all folds) or `test`, the cases that it is of."""

    name: str
    part: str = "pooled"
    title: str = ""
    about: str = ""
    raw: JSON = field(default_factory=dict, repr=False, compare=False)
