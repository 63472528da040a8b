"""Bootstrap intervals: patients are drawn with replacement, and the metrics of each drawing taken.

NumPy alone, so that a service can compare heads.
"""

from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.metrics import JSON, label_truth, metric_names, weighted_task_metrics
from slicebank_models.training.units import Units

Values = NDArray[np.float64]

LEVEL = 0.95
# A metric that more resamplings leave without a meaning gets no interval: what is left would not be the whole.
LEAST_DEFINED = 0.9
# The gap of calibration is never negative, and resampling widens it: percentiles would lie above the figure itself.
WITHOUT_INTERVAL = frozenset({"ece"})
MOST_GROUPS = 200  # of patients, left out in turn to see how the spread of a figure changes
FEW = 15  # patients of the rarer answer below which resampling cannot show what AUROC might have been
_CHUNK = 2_000_000  # weights held at once, 16 MB an array
_NORMAL = NormalDist()
_NOTHING = 1e-24  # a spread that is rounding alone


def bootstrap_intervals(task: TaskSpec, units: Units, *, resamples: int, seed: int) -> JSON:
    """Returns `{metric: [low, high] or None}` at the top, and the same per label under `labels`.

    They are bias-corrected and accelerated (Efron, JASA 1987): percentiles of the resamplings, shifted by how far the figure itself lies
    from their middle and by how its spread changes with it. Plain percentiles hold AUROC of 60 cases 92 times of 100. All units of a
    patient are drawn together. AUROC of a label whose rarer answer fewer than FEW patients have is given Newcombe's interval instead.

    Args:
        task: With its outputs' names.
        units: What is measured.
        resamples: Drawings; 0 gives None everywhere.
        seed: Of the drawings.
    """
    figure = _measured(task, units, [np.ones((1, len(units)))])
    left_out = _measured(task, units, [_without_groups(units.patients)])
    drawn = _measured(task, units, drawings(units.patients, resamples=resamples, seed=seed))

    few = _rare_answers(task, units) if resamples else {}

    def ends(label: str | None, name: str) -> list[float] | None:
        key = (label, name)
        counts = few.get(task.outputs[0] if label is None and task.n_outputs == 1 else label)
        if name == "auroc" and counts is not None and np.isfinite(figure[key][0]):
            return auroc_interval(float(figure[key][0]), *counts)
        return interval(name, float(figure[key][0]), drawn.get(key, np.zeros(0)), left_out[key])

    names = metric_names(task.kind)
    return {
        **{name: ends(None, name) for name in names},
        "labels": {label: {name: ends(label, name) for name in names} for label in task.outputs},
    }


def _rare_answers(task: TaskSpec, units: Units) -> dict[str | None, tuple[int, int]]:
    """Returns the patients with and without each label whose rarer answer fewer than FEW have."""
    if task.kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        return {}
    found: dict[str | None, tuple[int, int]] = {}
    for place, label in enumerate(task.outputs):
        known, truth = label_truth(task, units.targets, place)
        patients = [patient for patient, answered in zip(units.patients, known, strict=True) if answered]
        has, lacks = (
            len({p for p, t in zip(patients, truth, strict=True) if bool(t) is side}) for side in (True, False)
        )
        if 0 < min(has, lacks) < FEW:
            found[label] = (has, lacks)
    return found


def auroc_interval(auroc: float, positives: int, negatives: int) -> list[float]:
    """Returns Newcombe's interval of an AUROC (Statistics in Medicine 2006, part 2, method 5).

    It holds with few cases, and is no point where the answers are parted without error. Its ends are the areas A that lie 1.96 of their own standard errors from the figure, with Hanley and McNeil's variance of A
    for two groups of the mean size.

    Args:
        auroc: The figure.
        positives: Patients who have the answer, at least 1.
        negatives: Patients who do not, at least 1.
    """
    others = (positives + negatives) / 2 - 1
    quantile = _NORMAL.inv_cdf((1 + LEVEL) / 2)

    def beyond(area: float) -> float:
        spread = 1 + others * ((1 - area) / (2 - area) + area / (1 + area))
        return (area - auroc) ** 2 - quantile**2 * area * (1 - area) * spread / (positives * negatives)

    def end(inside: float, outside: float) -> float:
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if beyond(middle) <= 0 else (inside, middle)
        return (inside + outside) / 2

    return [end(auroc, 0.0) if auroc > 0 else 0.0, end(auroc, 1.0) if auroc < 1 else 1.0]


def _measured(task: TaskSpec, units: Units, weightings: Iterable[Values]) -> dict[tuple[str | None, str], Values]:
    """Returns the metrics of all weightings by label (None at the top) and name."""
    found: dict[tuple[str | None, str], list[Values]] = {}
    for weights in weightings:
        values = weighted_task_metrics(task, units.targets, units.outputs, weights)
        for label, metrics in [(None, values.top), *values.labels.items()]:
            for name, of_weights in metrics.items():
                found.setdefault((label, name), []).append(of_weights)
    return {key: np.concatenate(chunks) for key, chunks in found.items()}


def _without_groups(patients: Sequence[str]) -> Values:
    """Returns (G, n) weights that leave out each patient in turn, or each of MOST_GROUPS groups of them."""
    numbers = {patient: at for at, patient in enumerate(dict.fromkeys(patients))}
    groups = min(len(numbers), MOST_GROUPS)
    of_unit = np.array([numbers[patient] % groups for patient in patients], dtype=np.int64)
    kept: Values = (np.arange(groups)[:, None] != of_unit).astype(np.float64)
    return kept


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


def interval(name: str, figure: float, drawn: Values, left_out: Values) -> list[float] | None:
    """Returns the bias-corrected and accelerated interval of a metric, or None where there is none to give.

    Args:
        name: Of the metric.
        figure: Of all cases.
        drawn: (R,) of the resamplings.
        left_out: (G,) of all cases but a patient or a group of patients each.
    """
    defined = drawn[np.isfinite(drawn)]
    if name in WITHOUT_INTERVAL or not len(defined) or len(defined) < LEAST_DEFINED * len(drawn):
        return None
    below = float((defined < figure).mean() + (defined == figure).mean() / 2)
    middle = _NORMAL.inv_cdf(min(max(below, 1 / (len(defined) + 1)), 1 - 1 / (len(defined) + 1)))
    pulls = left_out[np.isfinite(left_out)]
    pulls = pulls.mean() - pulls if len(pulls) else np.zeros(1)
    size = float((pulls**2).sum())
    acceleration = float((pulls**3).sum()) / (6 * size**1.5) if size > _NOTHING else 0.0
    places = []
    for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        reach = middle + _NORMAL.inv_cdf(share)
        bend = 1 - acceleration * reach
        places.append(_NORMAL.cdf(middle + reach / bend) if bend > 0 else share)
    low, high = np.quantile(defined, places)
    return [float(low), float(high)]
