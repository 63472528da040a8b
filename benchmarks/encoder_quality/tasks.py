"""What features are asked, and how well they answer: one figure a task, of the same slices for every encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from benchmarks.encoder_quality.landmarks import REGIONS
from benchmarks.encoder_quality.probes import (
    Features,
    Fold,
    blocks_held_out,
    linear_probe,
    nearest_neighbours,
    series_held_out,
)
from benchmarks.encoder_quality.resampling import Statistic, block_length
from benchmarks.encoder_quality.retrieval import best_elsewhere, neighbour_ranks
from benchmarks.encoder_quality.series import EvaluationSeries

# Slices nearer than this are too alike to be independent: length of the blocks that are drawn together.
BLOCK_MM = 30.0
# Held out together, and left out on either side of it.
HELD_OUT_MM = 20.0
GUARD_MM = 10.0
# Slices of an organ are a run of few slices, so that large blocks would leave nothing to learn it from.
ORGAN_MM = 6.0
# The slice next door is told by its pixels alone; the first one past this distance is not.
PAST_MM = 20.0
# An organ that is nearly everywhere or nearly nowhere tells nothing.
ORGAN_SHARE = (0.2, 0.8)

Learner = Callable[[Features, NDArray[np.int64], Features, int], NDArray[np.float64]]
LEARNERS: tuple[tuple[str, Learner], ...] = (("k-NN", nearest_neighbours), ("linear probe", linear_probe))


@dataclass(frozen=True, slots=True)
class Task:
    """One question.

    Attributes:
        name: short.
        measure: what the figure is.
        members: slices that count, indices into all slices of all series.
        patients: that they come from.
        chance: the figure of features that say nothing.
        higher_is_better: whether it is.
        answer: from features of all slices to the figure of some members, given as places in `members`.
    """

    name: str
    measure: str
    members: NDArray[np.int64]
    patients: int
    chance: float
    higher_is_better: bool
    answer: Callable[[Features], Statistic]


def make_tasks(series: Sequence[EvaluationSeries]) -> tuple[Task, ...]:
    """All tasks that the series allow."""
    number = np.repeat(np.arange(len(series)), [len(each) for each in series])
    region = np.concatenate([each.region for each in series])
    level = np.concatenate([each.level for each in series])
    within = [fold for index in range(len(series)) for fold in _folds(series[index], np.nonzero(number == index)[0])]
    across = list(series_held_out(number))
    z_mm = np.concatenate([np.arange(len(each)) * each.spacing_mm for each in series])
    tasks = [
        _regions(f"region, {where}, {name}", learner, folds, region, len(series))
        for where, folds in (("other blocks of the patient", within), ("other patients", across))
        for name, learner in LEARNERS
    ]
    for index, each in enumerate(series):
        members = np.nonzero(number == index)[0]
        if each.organs.shape[1]:
            tasks.extend(_organs(each, members))
        if each.lesion is not None:
            tasks.extend(_lesions(each, members))
    return (*tasks, *_neighbours(number, z_mm), *_elsewhere(number, region, level))


def block_sizes(series: Sequence[EvaluationSeries], members: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Members of each series that has any, and slices of a block there."""
    bounds = np.cumsum([0, *map(len, series)])
    counts = [int(np.count_nonzero((members >= bounds[i]) & (members < bounds[i + 1]))) for i in range(len(series))]
    pairs = [
        (count, block_length(each.spacing_mm, BLOCK_MM)) for count, each in zip(counts, series, strict=True) if count
    ]
    return [count for count, _ in pairs], [block for _, block in pairs]


def auroc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve; ties count half, NaN where a class is missing."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return float("nan")
    return float((rankdata(score)[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _folds(
    series: EvaluationSeries, members: NDArray[np.int64], held_out_mm: float = HELD_OUT_MM, guard_mm: float = GUARD_MM
) -> list[Fold]:
    spacing = series.spacing_mm
    return list(blocks_held_out(members, block_length(spacing, held_out_mm), block_length(spacing, guard_mm)))


def _judge(
    features: Features, truth: NDArray[np.int64], folds: Sequence[Fold], learner: Learner, n_classes: int
) -> NDArray[np.float64]:
    """Probabilities for every slice; NaN where no fold judges it."""
    found = np.full((len(features), n_classes), np.nan)
    with threadpool_limits(1):  # matrices this small are slower on several threads, much slower on a busy machine
        for learn, judge in folds:
            found[judge] = learner(features[learn], truth[learn], features[judge], n_classes)
    return found


def _regions(name: str, learner: Learner, folds: Sequence[Fold], region: NDArray[np.int64], patients: int) -> Task:
    def answer(features: Features) -> Statistic:
        right = _judge(features, region, folds, learner, len(REGIONS)).argmax(axis=1) == region
        return lambda places: float(right[places].mean())

    chance = float(np.bincount(region).max() / len(region))
    return Task(name, "share of slices", np.arange(len(region)), patients, chance, True, answer)


def _organs(series: EvaluationSeries, members: NDArray[np.int64]) -> list[Task]:
    share = series.organs.mean(axis=0)
    present = series.organs[:, (share >= ORGAN_SHARE[0]) & (share <= ORGAN_SHARE[1])]
    present = np.unique(present, axis=1)  # organs that are in the same slices are one question

    def task(name: str, learner: Learner) -> Task:
        def answer(features: Features) -> Statistic:
            own, folds = features[members], _folds(series, np.arange(len(members)), ORGAN_MM, ORGAN_MM)
            scores = [_judge(own, column.astype(np.int64), folds, learner, 2)[:, 1] for column in present.T]
            return lambda places: _mean_auroc(present[places], np.stack(scores, axis=1)[places])

        measure = f"AUROC, mean of {present.shape[1]} organs"
        return Task(f"organs of {series.name}, {name}", measure, members, 1, 0.5, True, answer)

    return [task(name, learner) for name, learner in LEARNERS]


def _mean_auroc(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    each = np.array([auroc(truth[:, index], scores[:, index]) for index in range(truth.shape[1])])
    return float(each[np.isfinite(each)].mean()) if np.isfinite(each).any() else float("nan")


def _lesions(series: EvaluationSeries, members: NDArray[np.int64]) -> list[Task]:
    if series.lesion is None:
        return []
    candidates = members[series.candidates]
    truth = series.lesion[series.candidates]
    folds, how = _folds(series, np.arange(len(candidates))), ""
    if not all(truth[learn].any() for learn, _ in folds):
        # The only tumour is shorter than a block and its guards: slices are held out one by one.
        folds, how = list(blocks_held_out(np.arange(len(candidates)), 1, 0)), ", slice by slice"

    def task(name: str, learner: Learner) -> Task:
        def answer(features: Features) -> Statistic:
            score = _judge(features[candidates], truth.astype(np.int64), folds, learner, 2)[:, 1]
            return lambda places: auroc(truth[places], score[places])

        measure = f"AUROC, {int(truth.sum())} of {len(truth)} slices{how}"
        return Task(f"lesion slices of {series.name}, {name}", measure, candidates, 1, 0.5, True, answer)

    return [task(name, learner) for name, learner in LEARNERS]


def _neighbours(number: NDArray[np.int64], z_mm: NDArray[np.float64]) -> list[Task]:
    everything, patients, n_slices = np.arange(len(number)), int(number.max()) + 1, len(number)

    def first(past_mm: float) -> Callable[[Features], Statistic]:
        def answer(features: Features) -> Statistic:
            right = neighbour_ranks(features, number, z_mm, past_mm) == 1
            return lambda places: float(right[places].mean())

        return answer

    def rank(past_mm: float) -> Callable[[Features], Statistic]:
        def answer(features: Features) -> Statistic:
            ranks = neighbour_ranks(features, number, z_mm, past_mm)
            return lambda places: float(ranks[places].mean())

        return answer

    tasks = []
    for name, past_mm in (("neighbouring slice", 0.0), (f"first slice past {PAST_MM:.0f} mm", PAST_MM)):
        chance = 2 / (n_slices - 1)
        tasks.append(
            Task(f"{name}, found first", "share of slices", everything, patients, chance, True, first(past_mm))
        )
        tasks.append(Task(f"{name}, rank", "mean rank", everything, patients, n_slices / 3, False, rank(past_mm)))
    return tasks


def _elsewhere(number: NDArray[np.int64], region: NDArray[np.int64], level: NDArray[np.float64]) -> tuple[Task, ...]:
    everything, patients = np.arange(len(number)), int(number.max()) + 1
    others = number[:, None] != number[None, :]
    same = float((others & (region[:, None] == region[None, :])).sum() / others.sum())
    apart = float(np.abs(level[:, None] - level[None, :])[others].mean())

    def same_region(features: Features) -> Statistic:
        right = region[best_elsewhere(features, number)] == region
        return lambda places: float(right[places].mean())

    def distance(features: Features) -> Statistic:
        off = np.abs(level[best_elsewhere(features, number)] - level)
        return lambda places: float(off[places].mean())

    measure = "mean error, levels of about 9 cm"
    return (
        Task("same region in another patient", "share of slices", everything, patients, same, True, same_region),
        Task("level in another patient", measure, everything, patients, apart, False, distance),
    )
