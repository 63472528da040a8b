"""Figures of a head in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS_SHOWN = ("auroc", "auprc", "f1", "c_index", "mae", "r2")
_NAMES = {"c_index": "C-index", "mae": "MAE", "r2": "R2"}


def metrics_phrase(metrics: Mapping[str, Any]) -> str:
    """The main figures of the task as mean and standard deviation over the folds, as far as they are known."""
    mean, spread = metrics.get("mean"), metrics.get("sd")
    if not isinstance(mean, Mapping):
        return ""
    parts = []
    for name in METRICS_SHOWN:
        value = mean.get(name)
        if isinstance(value, (int, float)):
            deviation = spread.get(name) if isinstance(spread, Mapping) else None
            shown = _NAMES.get(name, name.upper())
            parts.append(f"{shown} {value:.3f}" + (f" ± {deviation:.3f}" if deviation is not None else ""))
    return ", ".join(parts)
