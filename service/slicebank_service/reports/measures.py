"""The figures of a head as a page shows them: names, order, and numbers as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

JSON = dict[str, Any]

DASH = "\N{EN DASH}"
"""Stands where there is nothing."""

UNIT_MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "f1": "F1",
        "accuracy": "Accuracy",
        "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
        "brier": "Brier score",
        "ece": "ECE",
        "c_index": "C-index",
    }
)
"""Those between 0 and 1, by their keys, in the order of tables."""

MEASURES: Mapping[str, str] = MappingProxyType(
    {**UNIT_MEASURES, "mae": "MAE", "rmse": "RMSE", "r2": "R\N{SUPERSCRIPT TWO}"}
)

# What stands beside measures in the same object and is none.
_NO_MEASURE = frozenset(
    {"n", "positives", "events", "fold", "repeat", "best_epoch", "epochs", "steps", "validation_loss", "seconds"}
)
_COUNT = "n_"


def measures_in(*parts: JSON | None) -> list[str]:
    """Keys of the measures that some part has: the known ones in their order, then others by name."""
    keys = {
        key
        for part in parts
        for key, value in (part or {}).items()
        if key not in _NO_MEASURE
        and not key.startswith(_COUNT)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    }
    return [key for key in MEASURES if key in keys] + sorted(keys - set(MEASURES))


def measure_name(key: str) -> str:
    """What a measure is called."""
    return MEASURES.get(key, key.replace("_", " "))


def number(value: object, digits: int = 3) -> str:
    """A number as a table shows it; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DASH
    if isinstance(value, int):
        return str(value)
    text = f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}")


def with_spread(mean: object, spread: object) -> str:
    """Mean and standard deviation."""
    return number(mean) if spread is None or number(mean) == DASH else f"{number(mean)} ± {number(spread)}"


def with_interval(part: JSON | None, key: str) -> str:
    """A measure with its 95 % interval, where there is one."""
    part = part or {}
    interval: Sequence[float] | None = (part.get("intervals") or {}).get(key)
    text = number(part.get(key))
    if not interval or len(interval) != 2 or text == DASH:
        return text
    return f"{text} [{number(interval[0])}, {number(interval[1])}]"
