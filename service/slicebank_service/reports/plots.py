"""Which figures the report of a head has, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_service.reports.axes import is_number
from slicebank_service.reports.course_figures import folds_figure, training_figure
from slicebank_service.reports.curve_figures import (
    calibration_figure,
    confusion_figure,
    kaplan_meier_figure,
    precision_recall_figure,
    roc_figure,
    scatter_figure,
)
from slicebank_service.reports.measures import UNIT_MEASURES

JSON = dict[str, Any]

POOLED, TEST = "pooled", "test"
PARTS = (POOLED, TEST)
"""Cases that a figure can be of: those of all folds, each answered by a head that did not learn from it; the held-out test cases."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One kind of figure.

    Attributes:
        title: what stands above it.
        about: what it shows, in a sentence.
        by_part: whether the out-of-fold and the test cases have one each.
        draw: makes it of a report and a part; None where the report does not hold what it needs.
    """

    title: str
    about: str
    by_part: bool
    draw: Callable[[JSON, str], Figure | None]


def available_plots(report: JSON) -> list[tuple[str, str]]:
    """Names and parts of the figures that a report has data for; those of no part come under `pooled`."""
    return [
        (name, part)
        for name, plot in PLOTS.items()
        for part in (PARTS if plot.by_part else (POOLED,))
        if draw_plot(report, name, part) is not None
    ]


def draw_plot(report: JSON, name: str, part: str = POOLED) -> Figure | None:
    """A figure, or None where the report does not hold what it needs.

    Args:
        report: what the training wrote; one of an older format lacks some keys.
        name: of `PLOTS`.
        part: of `PARTS`.
    """
    try:
        return PLOTS[name].draw(report, part)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        # A report of another version of slicebank: its page shows what can be shown.
        return None


def _labelled(report: JSON, part: str, kind: str, measure: str) -> dict[str, JSON]:
    """Curves of a kind by label, with the figure that sums each up."""
    measured: Mapping[str, JSON] = (report.get(part) or {}).get("labels") or {}
    found: dict[str, JSON] = {}
    for label, curves in ((report.get("curves") or {}).get(part) or {}).items():
        if isinstance(curves, Mapping) and isinstance(curves.get(kind), Mapping):
            about = measured.get(label) or {}
            share = about["positives"] / about["n"] if about.get("n") and "positives" in about else None
            found[label] = {"prevalence": share, **curves[kind], measure: about.get(measure)}
    return found


def _calibrations(report: JSON, part: str) -> dict[str, JSON]:
    """Calibration by label: of the calibrated probabilities where there are some, beside that of the others."""
    found = _labelled(report, part, "calibration", "ece")
    after = _labelled(report, part, "calibrated", "ece")
    return {
        label: {**after[label], "ece": None, "before": curve} if label in after else curve
        for label, curve in found.items()
    }


def _confusion(report: JSON, part: str) -> Figure | None:
    curves = (report.get("curves") or {}).get(part) or {}
    whole = curves.get("confusion")
    if isinstance(whole, Mapping) and "counts" in whole:
        return confusion_figure({"": (whole["counts"], whole["labels"])})
    by_label = {label: found.get("confusion") for label, found in curves.items() if isinstance(found, Mapping)}
    return confusion_figure(
        {label: (table["counts"], table["labels"]) for label, table in by_label.items() if isinstance(table, Mapping)}
    )


def _kaplan_meier(report: JSON, part: str) -> Figure | None:
    curves = ((report.get("curves") or {}).get(part) or {}).get("kaplan_meier")
    if not isinstance(curves, Mapping):
        return None
    groups = curves.get("groups", curves)
    named = groups.items() if isinstance(groups, Mapping) else [(group["name"], group) for group in groups]
    p_value = curves.get("log_rank_p")
    note = f"log-rank p = {p_value:.2g}" if is_number(p_value) else ""
    return kaplan_meier_figure([(name, curve) for name, curve in named if isinstance(curve, Mapping)], note)


def _scatter(report: JSON, part: str) -> Figure | None:
    task = TaskSpec.parse({key: report["task"][key] for key in ("kind", "labels")})
    if task.kind is not TaskKind.REGRESSION:
        return None
    rows = report.get("out_of_fold" if part == POOLED else "test_predictions") or []
    return scatter_figure(
        {
            label: [(row["target"][place], row["outputs"][place]) for row in rows if row["target"][place] is not None]
            for place, label in enumerate(task.outputs)
        }
    )


PLOTS: Mapping[str, Plot] = MappingProxyType(
    {
        "roc": Plot(
            "ROC",
            "Sensitivity against 1 - specificity at every threshold; the dashed line is chance.",
            True,
            lambda report, part: roc_figure(_labelled(report, part, "roc", "auroc")),
        ),
        "precision_recall": Plot(
            "Precision and recall",
            "Precision against recall at every threshold; the dotted lines are the share of positives.",
            True,
            lambda report, part: precision_recall_figure(_labelled(report, part, "pr", "auprc")),
        ),
        "calibration": Plot(
            "Calibration",
            "Observed rate against predicted probability; larger points hold more cases, the dashed line is perfect, and faint lines are as it was before calibration.",
            True,
            lambda report, part: calibration_figure(_calibrations(report, part)),
        ),
        "confusion": Plot(
            "Confusion", "Cases by known and predicted class, with their share of the row.", True, _confusion
        ),
        "scatter": Plot("Predicted and known", "One point a case; the dashed line is perfect.", True, _scatter),
        "kaplan_meier": Plot(
            "Kaplan-Meier",
            "Cases without the event over time, by predicted risk; ticks are censored cases.",
            True,
            _kaplan_meier,
        ),
        "training": Plot(
            "Training",
            "Loss over epochs, a colour a fold.",
            False,
            lambda report, _part: training_figure(report.get("folds") or []),
        ),
        "folds": Plot(
            "Folds",
            "How much the figures differ from fold to fold.",
            False,
            lambda report, _part: folds_figure(report.get("folds") or [], UNIT_MEASURES),
        ),
    }
)
