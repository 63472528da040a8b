import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from slicebank_models.heads.spec import TaskKind
from slicebank_models.training.intervals import auroc_interval, bootstrap_intervals, drawings, interval
from slicebank_models.training.metrics import metric_names, task_metrics, weighted_task_metrics
from slicebank_models.training.report import probabilities
from slicebank_models.training.units import Units
from tests.models.training.labelled_cases import TASKS
from tests.models.training.reported import drawn_logits, drawn_targets


def drawn_units(kind: TaskKind, generator: np.random.Generator, n: int, *, a_patient: int = 1) -> Units:
    """Cases and what a head of middling skill says of them."""
    targets = drawn_targets(kind, generator, n)
    outputs = probabilities(TASKS[kind], drawn_logits(kind, targets, generator, 0.5))
    patients = tuple(f"p{at // a_patient}" for at in range(n))
    return Units(tuple(map(str, range(n))), patients, tuple(targets), outputs)


@pytest.mark.parametrize("kind", list(TaskKind))
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 30))
def test_a_weighting_is_as_if_cases_were_repeated(kind: TaskKind, seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    units = drawn_units(kind, generator, n)
    outputs = units.outputs.round(1)  # so that there are ties
    weights = generator.multinomial(n, np.full(n, 1 / n), size=4).astype(float)
    found = weighted_task_metrics(TASKS[kind], units.targets, outputs, weights)
    for place, counts in enumerate(weights.astype(int)):
        chosen = np.repeat(np.arange(n), counts)
        expected = task_metrics(TASKS[kind], [units.targets[at] for at in chosen], outputs[chosen])
        for name in metric_names(kind):
            value = float(found.top[name][place])
            assert (None if math.isnan(value) else pytest.approx(value, rel=1e-6, abs=1e-9)) == expected[name], name


def test_weighted_ranking_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    units = drawn_units(TaskKind.BINARY, generator, 200)
    truth, score = np.array([target[0] for target in units.targets]), units.outputs[:, 0].round(2)
    weights = generator.integers(0, 4, size=(20, 200)).astype(float)
    found = weighted_task_metrics(TASKS[TaskKind.BINARY], units.targets, score[:, None], weights).top
    for place, row in enumerate(weights):
        assert found["auroc"][place] == pytest.approx(sk.roc_auc_score(truth, score, sample_weight=row))
        assert found["auprc"][place] == pytest.approx(sk.average_precision_score(truth, score, sample_weight=row))
        assert found["brier"][place] == pytest.approx(sk.brier_score_loss(truth, score, sample_weight=row))
        assert found["f1"][place] == pytest.approx(sk.f1_score(truth, score >= 0.5, sample_weight=row))


def test_the_interval_is_that_of_scipy() -> None:
    """Also bias-corrected and accelerated, but one resampling a call."""
    generator = np.random.default_rng(1)
    units = drawn_units(TaskKind.BINARY, generator, 60)
    truth, score = np.array([target[0] for target in units.targets]), units.outputs[:, 0]

    def auroc(places: np.ndarray) -> float:
        drawn, holds = score[places.astype(int)], truth[places.astype(int)] == 1
        return float(np.mean(drawn[holds][:, None] > drawn[~holds]))

    theirs = stats.bootstrap(
        (np.arange(60.0),), auroc, vectorized=False, n_resamples=3000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    found = bootstrap_intervals(TASKS[TaskKind.BINARY], units, resamples=20_000, seed=0)
    assert found["auroc"] == pytest.approx([theirs.low, theirs.high], abs=0.012)
    assert found["labels"]["lesion"]["auroc"] == found["auroc"]


def test_patients_with_several_cases_make_intervals_wider() -> None:
    """Every patient three times, alike: three times the cases tell no more than the patients do."""
    units = drawn_units(TaskKind.BINARY, np.random.default_rng(1), 60)
    names = tuple(f"{name}-{copy}" for copy in range(3) for name in units.names)
    thrice = Units(names, units.patients * 3, units.targets * 3, np.tile(units.outputs, (3, 1)))
    alone = Units(names, names, thrice.targets, thrice.outputs)
    task = TASKS[TaskKind.BINARY]
    once, grouped, wrong = (
        bootstrap_intervals(task, each, resamples=3000, seed=0)["auroc"] for each in (units, thrice, alone)
    )
    assert grouped == pytest.approx(once, abs=0.01)
    assert wrong[1] - wrong[0] < 0.7 * (once[1] - once[0])


def test_patients_are_drawn_whole_and_in_chunks_like_at_once() -> None:
    patients = ["a", "b", "a", "c", "b", "a"]
    weights = np.concatenate(list(drawings(patients, resamples=500, seed=2)))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert weights[:, 3].mean() == pytest.approx(1, abs=0.15)
    many = [str(at) for at in range(5000)]
    chunks = list(drawings(many, resamples=900, seed=2))
    assert len(chunks) > 1
    assert sum(len(chunk) for chunk in chunks) == 900
    assert list(drawings([], resamples=10, seed=0)) == []


def test_what_has_no_interval_says_none() -> None:
    even = np.array([0.4, 0.5, 0.6])
    assert interval("auroc", 0.5, np.array([0.5, np.nan, np.nan]), even) is None
    assert interval("auroc", 0.5, np.zeros(0), even) is None
    assert interval("ece", 0.1, np.array([0.1, 0.2]), even) is None
    assert interval("auroc", 0.5, np.linspace(0, 1, 101), even) == pytest.approx([0.025, 0.975])
    assert interval("auroc", 1.0, np.ones(50), np.ones(50)) == [1.0, 1.0]
    generator = np.random.default_rng(0)
    units = drawn_units(TaskKind.BINARY, generator, 50)
    one = Units(units.names, units.patients, tuple((int(at == 0),) for at in range(50)), units.outputs)
    found = bootstrap_intervals(TASKS[TaskKind.BINARY], one, resamples=300, seed=0)
    assert found["auprc"] is None
    assert found["accuracy"] is not None


@pytest.mark.parametrize(("n", "positives", "auroc"), [(40, 12, 0.97), (60, 10, 0.95), (100, 8, 0.9)])
def test_the_interval_of_few_positives_covers_the_truth(n: int, positives: int, auroc: float) -> None:
    """Where resampling holds it 86 to 91 times of 100."""
    generator = np.random.default_rng(0)
    apart = float(stats.norm.ppf(auroc)) * math.sqrt(2)
    held = 0
    for _ in range(1000):
        has, lacks = generator.normal(apart, 1, positives), generator.normal(0, 1, n - positives)
        low, high = auroc_interval(float((has[:, None] > lacks).mean()), positives, n - positives)
        assert low < high
        held += low <= auroc <= high
    assert 0.94 <= held / 1000 <= 0.985


def test_the_interval_ends_where_newcombe_has_it() -> None:
    """Its ends lie 1.96 of their own standard errors (Hanley and McNeil 1982, mean group size) from the figure."""
    for end in auroc_interval(0.9, 8, 92):
        others = 49
        variance = end * (1 - end) * (1 + others * ((1 - end) / (2 - end) + end / (1 + end))) / (8 * 92)
        assert abs(end - 0.9) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-6)
    assert auroc_interval(1.0, 8, 92)[1] == 1.0
    assert auroc_interval(0.0, 3, 3)[0] == 0.0


def test_few_patients_with_an_answer_get_that_interval_and_many_do_not() -> None:
    generator = np.random.default_rng(0)
    units = drawn_units(TaskKind.BINARY, generator, 60)
    score = units.outputs
    for positives, is_few in ((14, True), (15, False)):
        targets = tuple((int(at < positives),) for at in range(60))
        part = Units(units.names, units.patients, targets, score)
        found = bootstrap_intervals(TASKS[TaskKind.BINARY], part, resamples=200, seed=0)
        figure = task_metrics(TASKS[TaskKind.BINARY], targets, score)["auroc"]
        assert (found["auroc"] == auroc_interval(figure, positives, 60 - positives)) is is_few
        assert found["labels"][TASKS[TaskKind.BINARY].outputs[0]]["auroc"] == found["auroc"]


def true_figures(kind: TaskKind, name: str) -> float:
    """The figure of the head of `drawn_units` on a very large sample."""
    units = drawn_units(kind, np.random.default_rng(99), 4000 if kind is TaskKind.SURVIVAL else 100_000)
    return float(task_metrics(TASKS[kind], units.targets, units.outputs)[name])


def coverage(kind: TaskKind, n: int, runs: int, resamples: int) -> dict[str, float]:
    """The share of samples whose interval holds the true figure, by metric."""
    names = [name for name in metric_names(kind) if name != "ece"]
    truths = {name: true_figures(kind, name) for name in names}
    held = dict.fromkeys(names, 0)
    for run in range(runs):
        units = drawn_units(kind, np.random.default_rng([7, run]), n)
        found = bootstrap_intervals(TASKS[kind], units, resamples=resamples, seed=run)
        for name in names:
            ends = found[name]
            assert ends is not None
            held[name] += ends[0] <= truths[name] <= ends[1]
    return {name: count / runs for name, count in held.items()}


@pytest.mark.parametrize(("kind", "n"), [(TaskKind.BINARY, 60), (TaskKind.REGRESSION, 60), (TaskKind.SURVIVAL, 60)])
def test_intervals_cover_the_truth(kind: TaskKind, n: int) -> None:
    """At a rate of 95 %, 120 samples hold the truth 103 times or fewer once in 10,000."""
    found = coverage(kind, n, runs=120, resamples=200)
    assert min(found.values()) > 0.865, found
    # Intervals that are half as wide again as they should be hold it 996 times of 1,000.
    assert np.mean(list(found.values())) < 0.99, found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n"),
    [
        (TaskKind.BINARY, 60),
        (TaskKind.BINARY, 150),
        (TaskKind.BINARY, 500),
        (TaskKind.MULTICLASS, 150),
        (TaskKind.REGRESSION, 60),
        (TaskKind.SURVIVAL, 100),
    ],
)
def test_intervals_cover_the_truth_at_the_stated_rate(kind: TaskKind, n: int) -> None:
    """Of 1,000 samples; the standard error of a rate is 0.7 points."""
    found = coverage(kind, n, runs=1000, resamples=1000)
    assert min(found.values()) > 0.915, found
    assert max(found.values()) < 0.985, found
    assert np.mean(list(found.values())) == pytest.approx(0.95, abs=0.015), found
