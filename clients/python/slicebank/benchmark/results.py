"""What a benchmark found: figures of one task by encoder, with their mean and spread over folds; JSON on disk."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]

# Figures that are shares, which tables give in hundredths.
SHARES = frozenset(
    {
        "auroc",
        "auprc",
        "f1",
        "accuracy",
        "balanced_accuracy",
        "sensitivity_at_90_specificity",
        "c_index",
        "brier",
        "ece",
    }
)
LOWER_IS_BETTER = frozenset({"brier", "ece", "mae", "rmse"})
SPOKEN: Mapping[str, str] = {
    "auroc": "AUC",
    "auprc": "AUPRC",
    "f1": "F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity_at_90_specificity": "sensitivity at 90 % specificity",
    "c_index": "C-index",
    "brier": "Brier",
    "ece": "ECE",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
}
AVERAGE = "Average"


@dataclass(frozen=True, slots=True)
class Score:
    """One figure over folds.

    Attributes:
        mean: None where no fold has it.
        sd: Sample standard deviation; None of fewer than two folds.
    """

    mean: float | None
    sd: float | None = None

    @classmethod
    def over(cls, values: Sequence[float | None]) -> Score:
        """Of one value a fold; those that are not defined are left out."""
        defined = [value for value in values if value is not None]
        if not defined:
            return cls(None)
        return cls(statistics.fmean(defined), statistics.stdev(defined) if len(defined) > 1 else None)

    @classmethod
    def average(cls, scores: Sequence[Score]) -> Score:
        """The paper's last column: mean of the means, and root of the mean variance. None where one of them is not defined."""
        means = [score.mean for score in scores if score.mean is not None]
        spreads = [score.sd for score in scores if score.sd is not None]
        if not scores or len(means) < len(scores):
            return cls(None)
        sd = math.sqrt(statistics.fmean(spread**2 for spread in spreads)) if len(spreads) == len(scores) else None
        return cls(statistics.fmean(means), sd)


@dataclass(frozen=True, slots=True)
class EncoderResult:
    """One row of a table.

    Attributes:
        encoder: Its id.
        title: What tables call it.
        weights_digest: sha256 of its weights.
        windows: Whose rows the head read; empty for an encoder of scans.
        head_id: The head at the server.
        scores: Label -> figure -> one value a fold.
        n_cases: Bags that the head learned from and was judged on.
        warnings: What the training said.
        about: `dim`, `level`, `untrained`, the settings as the server took them, and what else the page tells.
    """

    encoder: str
    title: str
    weights_digest: str = ""
    windows: tuple[str, ...] = ()
    head_id: str = ""
    scores: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    n_cases: int = 0
    n_patients: int = 0
    warnings: tuple[str, ...] = ()
    about: JSON = field(default_factory=dict)

    def score(self, label: str, metric: str) -> Score:
        """One cell; of `AVERAGE`, over all labels."""
        if label == AVERAGE:
            return Score.average([self.score(one, metric) for one in self.scores])
        return Score.over(self.scores.get(label, {}).get(metric, ()))


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Everything about one task; `as_dict` and `from_dict` go to and from JSON.

    Attributes:
        labels: Columns of its tables.
        metrics: Columns where there is one label, else a table each.
        judged_on: `test` where each fold's head was judged on the held-out test patients, else `validation`.
        published: Rows of `model`, `mean` and `sd`, as in the task file.
        head: Lines of the page about cohort, splits and settings: name -> text.
        left_out: Sentences.
        failed: Encoder -> sentence.
    """

    name: str
    title: str
    table: int
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    encoders: tuple[EncoderResult, ...]
    judged_on: str = "validation"
    note: str = ""
    published: tuple[JSON, ...] = ()
    head: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> JSON:
        """JSON-able values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "encoders": [{name: getattr(row, name) for name in row.__slots__} for row in self.encoders]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskResult:
        """Reads what `as_dict` wrote."""
        rows = tuple(EncoderResult(**{**row, **_tuples(row, ("windows", "warnings"))}) for row in values["encoders"])
        kept = _tuples(values, ("labels", "metrics", "published", "left_out"))
        return cls(**{**values, **kept, "encoders": rows})


def _tuples(values: Mapping[str, Any], names: Sequence[str]) -> JSON:
    return {name: tuple(values[name]) for name in names if name in values}


def fold_scores(metrics: Mapping[str, Any]) -> tuple[JSON, str]:
    """Label -> figure -> one value a fold, from what a server says of a head, and what folds were judged on.

    With held-out test patients these are the paper's: each fold's head on the same test set. A server that does not tell them so leaves
    each fold's own validation part.
    """
    folds = [fold for fold in metrics.get("folds") or () if isinstance(fold, Mapping)]
    tests = [fold["test"] for fold in folds if isinstance(fold.get("test"), Mapping)]
    judged = tests if tests and len(tests) == len(folds) else folds
    scores: dict[str, dict[str, list[float | None]]] = {}
    for fold in judged:
        for label, figures in (fold.get("labels") or {}).items():
            own = scores.setdefault(label, {})
            for name in SPOKEN:
                value = figures.get(name)
                own.setdefault(name, []).append(float(value) if isinstance(value, (int, float)) else None)
    return scores, "test" if judged is tests else "validation"


def splits_phrase(metrics: Mapping[str, Any]) -> str:
    """How the cases of a head were divided, in words; empty where its folds do not say it."""
    folds = [fold for fold in metrics.get("folds") or () if isinstance(fold, Mapping)]
    sizes = [[fold.get(name) for fold in folds] for name in ("n_train", "n_validation")]
    known = [[count for count in counts if isinstance(count, int)] for counts in sizes]
    if not folds or any(len(counts) < len(folds) for counts in known):
        return ""
    train, validation = (_span(counts) for counts in known)
    text = f"{len(folds)} folds by patient, trained on {train} cases and validated on {validation}"
    patients = (metrics.get("test") or {}).get("n_patients")
    return f"{text}; {patients} test patients" if patients else text


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
