"""Figures of how well answers part the cases: ROC, precision against recall, calibration, confusion, scatter, Kaplan-Meier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from slicebank_service.reports.axes import MOST_CURVES, finished, line, named, paired, plain, short, unit_square
from slicebank_service.reports.svg import COLOURS, FAINT, INK, new_figure

JSON = dict[str, Any]

# Cells above this share of their row get light writing.
_LIGHT_ABOVE = 0.55
_MOST_CLASSES_WRITTEN = 12
_MOST_TABLES, _TABLES_ACROSS = 12, 4
# What a head that knows nothing would reach.
_CHANCE: JSON = {"color": FAINT, "linewidth": 0.8, "linestyle": (0, (4, 3))}


def roc_figure(curves: Mapping[str, JSON]) -> Figure | None:
    """Sensitivity against 1 - specificity.

    Args:
        curves: by label, `{"fpr": [...], "tpr": [...], "auroc"}`.
    """
    figure = new_figure()
    axes = unit_square(figure, "1 \N{MINUS SIGN} specificity", "sensitivity")
    axes.plot((0, 1), (0, 1), **_CHANCE)
    drawn = [(label, curve) for label, curve in curves.items() if paired(curve, "fpr", "tpr")]
    for place, (_, curve) in enumerate(drawn[:MOST_CURVES]):
        axes.plot(curve["fpr"], curve["tpr"], **line(place))
    return finished(figure, axes, [named(label, "AUROC", curve.get("auroc")) for label, curve in drawn])


def precision_recall_figure(curves: Mapping[str, JSON]) -> Figure | None:
    """Precision against recall.

    Args:
        curves: by label, `{"precision": [...], "recall": [...], "auprc", "prevalence"}`.
    """
    figure = new_figure()
    axes = unit_square(figure, "recall (sensitivity)", "precision")
    drawn = [(label, curve) for label, curve in curves.items() if paired(curve, "recall", "precision")]
    for place, (_, curve) in enumerate(drawn[:MOST_CURVES]):
        axes.step(curve["recall"], curve["precision"], where="post", **line(place))
        if len(drawn) <= len(COLOURS) and curve.get("prevalence") is not None:
            axes.axhline(curve["prevalence"], color=line(place)["color"], linewidth=0.7, linestyle=(0, (1, 3)))
    return finished(figure, axes, [named(label, "AUPRC", curve.get("auprc")) for label, curve in drawn])


def calibration_figure(curves: Mapping[str, JSON]) -> Figure | None:
    """Observed rate against predicted probability, one point a bin; the larger the point, the more cases.

    Args:
        curves: by label, `{"predicted": [...], "observed": [...], "n": [...], "ece"}`; `before`, of the same form, is drawn faint.
    """
    figure = new_figure()
    axes = unit_square(figure, "predicted probability", "observed rate")
    axes.plot((0, 1), (0, 1), **_CHANCE)
    drawn = [(label, curve) for label, curve in curves.items() if paired(curve, "predicted", "observed")]
    for place, (_, curve) in enumerate(drawn[:MOST_CURVES]):
        look = line(place)
        axes.plot(curve["predicted"], curve["observed"], **look)
        counts = np.array(curve.get("n") or [1] * len(curve["observed"]), float)
        size = 12 + 60 * counts / max(float(counts.max()), 1.0)
        axes.scatter(curve["predicted"], curve["observed"], s=size, color=look["color"], alpha=0.7, linewidth=0)
        before = curve.get("before")
        if isinstance(before, Mapping) and paired(before, "predicted", "observed"):
            axes.plot(before["predicted"], before["observed"], color=look["color"], linewidth=1.0, alpha=0.45)
    return finished(figure, axes, [named(label, "ECE", curve.get("ece")) for label, curve in drawn])


def confusion_figure(tables: Mapping[str, tuple[Sequence[Sequence[int]], Sequence[str]]]) -> Figure | None:
    """Counts of known against predicted class, a panel a table.

    Args:
        tables: by title, which is empty for a single one: counts, rows the known class and columns the predicted one; and the names
            of the classes, in order.
    """
    drawn = [
        (title, np.array(counts, float), classes)
        for title, (counts, classes) in tables.items()
        if len(classes) and np.shape(counts) == (len(classes), len(classes))
    ][:_MOST_TABLES]
    if not drawn:
        return None
    across = min(len(drawn), _TABLES_ACROSS)
    down = -(-len(drawn) // across)
    side = (3.2 if across == 1 else 2.4) + 0.22 * min(max(len(classes) for _, _, classes in drawn), 20)
    figure = new_figure(across * (side + 0.6), down * side)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (title, counts, classes) in zip(panels, drawn, strict=False):
        _draw_confusion(axes, counts, classes)
        axes.set_title(short(title), fontsize=9, color=INK, loc="left", parse_math=False)
    for axes in panels[len(drawn) :]:
        axes.axis("off")
    return figure


def _draw_confusion(axes: Axes, counts: NDArray[np.float64], classes: Sequence[str]) -> None:
    of_row = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for known, row in enumerate(of_row):
        for said, share in enumerate(row):
            corner = (said - 0.5, known - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=COLOURS[0], alpha=max(0.03, share), linewidth=0))
            if len(classes) <= _MOST_CLASSES_WRITTEN:
                axes.text(
                    said,
                    known,
                    f"{int(counts[known, said])}\n{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="#ffffff" if share > _LIGHT_ABOVE else INK,
                )
    names = [short(name) for name in classes]
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xticks(range(len(classes)), names, rotation=45 if len(classes) > 3 else 0, ha="center")
    axes.set_yticks(range(len(classes)), names)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("known", color=INK)
    axes.set_aspect("equal")
    axes.tick_params(length=0, labelsize=8, colors=INK)
    axes.spines[:].set_visible(False)


def scatter_figure(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> Figure | None:
    """Predicted against known values, a panel a label.

    Args:
        pairs: by label, known and predicted values.
    """
    drawn = [(label, values) for label, values in pairs.items() if values][: len(COLOURS)]
    if not drawn:
        return None
    figure = new_figure(0.8 + 3.6 * len(drawn), 3.8)
    for place, (axes, (label, values)) in enumerate(
        zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True)
    ):
        known, said = np.array(values, float).T
        low, high = float(min(known.min(), said.min())), float(max(known.max(), said.max()))
        margin = 0.05 * (high - low) or 1.0
        axes.plot((low, high), (low, high), **_CHANCE)
        axes.scatter(known, said, s=14, color=COLOURS[place], alpha=0.6, linewidth=0)
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(low - margin, high + margin)
        plain(axes, "known", "predicted")
        axes.set_title(short(label), fontsize=9.5, color=INK, loc="left", parse_math=False)
    return figure


def kaplan_meier_figure(groups: Sequence[tuple[str, Mapping[str, Any]]], note: str = "") -> Figure | None:
    """Share of cases without the event over time, a curve a group, with its 95 % interval where there is one.

    Args:
        groups: name, and `{"time": [...], "survival": [...], "low": [...], "high": [...], "censored": [...], "n"}`.
        note: written into the figure, such as the p-value of the log-rank test.
    """
    drawn = [(name, curve) for name, curve in groups if paired(curve, "time", "survival")]
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    for place, (_, curve) in enumerate(drawn[:MOST_CURVES]):
        look = line(place)
        time, survival = [0.0, *curve["time"]], [1.0, *curve["survival"]]
        axes.step(time, survival, where="post", **look)
        if paired(curve, "low", "high") and len(curve["low"]) == len(curve["time"]):
            low, high = [1.0, *curve["low"]], [1.0, *curve["high"]]
            axes.fill_between(time, low, high, step="post", color=look["color"], alpha=0.12, linewidth=0)
        if censored := curve.get("censored"):
            at = np.searchsorted(np.array(time), np.array(censored, float), side="right") - 1
            axes.plot(censored, np.array(survival)[at], "|", color=look["color"], markersize=6)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    plain(axes, "time", "without the event")
    if note:
        axes.text(0.98, 0.96, note, transform=axes.transAxes, ha="right", va="top", fontsize=8.5, color=INK)
    return finished(figure, axes, [f"{short(name)} (n {curve.get('n', '?')})" for name, curve in drawn])
