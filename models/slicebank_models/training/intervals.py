"""Bootstrap intervals: patients are drawn with replacement, and the metrics of each drawing taken.

NumPy alone, so that a service can compare heads.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.spec import TaskSpec
from slicebank_models.training.metrics import JSON, weighted_task_metrics
from slicebank_models.training.units import Units

Values = NDArray[np.float64]

LEVEL = 0.95
# A metric that more resamplings leave without a meaning gets no interval: what is left would not be the whole.
LEAST_DEFINED = 0.9
# The gap of calibration is never negative, and resampling widens it: percentiles would lie above the figure itself.
WITHOUT_INTERVAL = frozenset({"ece"})
_CHUNK = 2_000_000  # weights held at once, 16 MB an array


def bootstrap_intervals(task: TaskSpec, units: Units, *, resamples: int, seed: int) -> JSON:
    """Returns `{metric: [low, high] or None}` at the top, and the same per label under `labels`.

    They are the percentiles that enclose LEVEL of the resamplings. All units of a patient are drawn together.

    Args:
        task: With its outputs' names.
        units: What is measured.
        resamples: Drawings; 0 gives None everywhere.
        seed: Of the drawings.
    """
    top: dict[str, list[Values]] = {}
    labels: dict[str, dict[str, list[Values]]] = {label: {} for label in task.outputs}
    for weights in drawings(units.patients, resamples=resamples, seed=seed):
        values = weighted_task_metrics(task, units.targets, units.outputs, weights)
        _append(top, values.top)
        for label, metrics in values.labels.items():
            _append(labels[label], metrics)
    return {
        **{name: interval(name, drawn) for name, drawn in top.items()},
        "labels": {
            label: {name: interval(name, drawn) for name, drawn in found.items()} for label, found in labels.items()
        },
    }


def drawings(patients: Sequence[str], *, resamples: int, seed: int) -> Iterator[Values]:
    """Yields (R, n) weights, `resamples` rows in all: how often each unit's patient was drawn."""
    numbers = {patient: at for at, patient in enumerate(dict.fromkeys(patients))}
    of_unit = np.array([numbers[patient] for patient in patients], dtype=np.int64)
    if not numbers:
        return
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // max(len(of_unit), len(numbers)))
    even = np.full(len(numbers), 1 / len(numbers))
    for start in range(0, resamples, chunk):
        drawn = generator.multinomial(len(numbers), even, size=min(chunk, resamples - start))
        yield drawn[:, of_unit].astype(np.float64)


def interval(name: str, drawn: Sequence[Values]) -> list[float] | None:
    """Returns the percentile interval of a metric's (R,) chunks of resamplings, or None where there is none to give."""
    values = np.concatenate(drawn)
    defined = values[np.isfinite(values)]
    if name in WITHOUT_INTERVAL or not len(defined) or len(defined) < LEAST_DEFINED * len(values):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def _append(found: dict[str, list[Values]], values: dict[str, Values]) -> None:
    for name, drawn in values.items():
        found.setdefault(name, []).append(drawn)
