"""Figures over an axis of their own: losses over epochs, measures over folds, attention over slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from slicebank_service.reports.axes import is_number, plain, short
from slicebank_service.reports.svg import COLOURS, FAINT, INK, new_figure

_ABDOMEN, _LUNG = COLOURS[0], COLOURS[1]
# Room above the highest point for the legend.
_HEADROOM = 1.2
# Share of the axis that a rank written above it needs.
_RANK_WIDTH = 0.014


def training_figure(folds: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Losses over epochs, a colour a fold: training faint, validation full, its best epoch marked.

    Args:
        folds: with `curve` `{"train_loss": [...], "validation_loss": [...]}`, one number an epoch, and `best_epoch`, from 1.
    """
    drawn = [fold for fold in folds if isinstance(fold.get("curve"), Mapping) and fold["curve"].get("validation_loss")]
    if not drawn:
        return None
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    for place, fold in enumerate(drawn):
        colour = COLOURS[place % len(COLOURS)]
        train, validation = fold["curve"].get("train_loss") or [], fold["curve"]["validation_loss"]
        axes.plot(range(1, len(train) + 1), _floats(train), color=colour, linewidth=0.9, alpha=0.45)
        axes.plot(range(1, len(validation) + 1), _floats(validation), color=colour, linewidth=1.4)
        best = fold.get("best_epoch")
        if isinstance(best, int) and 0 < best <= len(validation) and is_number(validation[best - 1]):
            axes.plot([best], [validation[best - 1]], "o", color=colour, markersize=4.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain(axes, "epoch", "loss")
    handles = [
        axes.plot([], [], color=INK, linewidth=0.9, alpha=0.45)[0],
        axes.plot([], [], color=INK, linewidth=1.4)[0],
        axes.plot([], [], "o", color=INK, markersize=4.5)[0],
    ]
    axes.legend(handles, ["training", "validation", "best epoch"], frameon=False, fontsize=8, labelcolor=INK)
    return figure


def folds_figure(folds: Sequence[Mapping[str, Any]], measures: Mapping[str, str]) -> Figure | None:
    """Every fold's measures as points, with their mean.

    Args:
        folds: measures by their keys.
        measures: names by keys, of those between 0 and 1.
    """
    values = {name: [fold[key] for fold in folds if is_number(fold.get(key))] for key, name in measures.items()}
    drawn = {name: found for name, found in values.items() if found}
    if not drawn or len(folds) < 2:
        return None
    figure = new_figure(5.6, 0.9 + 0.36 * len(drawn))
    axes = figure.subplots()
    for place, found in enumerate(drawn.values()):
        axes.plot(found, [place] * len(found), "o", color=COLOURS[0], alpha=0.55, markersize=6, markeredgewidth=0)
        mean = sum(found) / len(found)
        axes.plot([mean, mean], [place - 0.28, place + 0.28], color=COLOURS[1], linewidth=2)
    axes.set_yticks(range(len(drawn)), list(drawn))
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlim(-0.01, 1.01)
    plain(axes, "one point a fold, their mean as a bar", "")
    return figure


@dataclass(frozen=True, slots=True)
class AttentionCurves:
    """Attention of one answer over the slices.

    Attributes:
        windows: names, in the order of `window_index`.
        slice_index: (N,) of each row, from the lowest slice up.
        window_index: (N,) of each row.
        weights: (N,) attention; all together 1.
        top: slices marked, by their ranks.
    """

    windows: Sequence[str]
    slice_index: NDArray[np.int32]
    window_index: NDArray[np.int8]
    weights: NDArray[np.float64]
    top: Mapping[int, int]


def attention_figure(curves: AttentionCurves) -> Figure | None:
    """A curve per window over the slices, as in the paper's figure 3: abdomen blue, lung red."""
    if not curves.slice_index.size or curves.slice_index.max() < 0:
        return None
    n_slices = int(curves.slice_index.max()) + 1
    figure = new_figure(9.6, 3.6)
    axes = figure.subplots()
    spare = iter(COLOURS[2:] * len(curves.windows))
    handles, names = [], []
    for place, window in enumerate(curves.windows):
        rows = curves.window_index == place
        if not rows.any():
            continue
        colour = _ABDOMEN if "abdo" in window.lower() else _LUNG if "lung" in window.lower() else next(spare)
        # A slice left out of the bag has no attention: the line breaks there.
        shares = np.full(n_slices, np.nan)
        shares[curves.slice_index[rows]] = curves.weights[rows]
        marker = "o" if n_slices == 1 else None
        handles += axes.plot(np.arange(n_slices), shares, color=colour, linewidth=1.5, marker=marker)
        axes.fill_between(np.arange(n_slices), 0, shares, color=colour, alpha=0.15, linewidth=0)
        names.append(f"{short(window)} window")
    equal = 1.0 / curves.weights.size
    handles += axes.plot([0, max(n_slices - 1, 0.5)], [equal, equal], color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    names.append("equal shares")
    _mark_ranks(axes, curves.top, n_slices)
    axes.set_xlim(-0.5 if n_slices == 1 else 0, max(n_slices - 1, 0.5))
    axes.set_ylim(0, max(float(curves.weights.max()), equal) * _HEADROOM)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _position: f"{100 * share:g} %"))
    plain(axes, "slice, from the lowest up", "attention")
    legend = axes.legend(handles, [str(place) for place in range(len(names))], frameon=False, fontsize=8, ncols=4)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
        text.set_color(INK)
    return figure


def _mark_ranks(axes: Axes, top: Mapping[int, int], n_slices: int) -> None:
    """Writes the ranks above their slices; neighbours climb so that none covers another."""
    last_in_lane: list[int] = []
    for slice_index, rank in sorted((slice_index, rank) for rank, slice_index in top.items()):
        free = (lane for lane, last in enumerate(last_in_lane) if slice_index - last >= n_slices * _RANK_WIDTH)
        lane = next(free, len(last_in_lane))
        last_in_lane[lane : lane + 1] = [slice_index]
        axes.axvline(slice_index, color=INK, linewidth=0.7, alpha=0.35)
        axes.annotate(
            str(rank),
            (slice_index, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3 + 9 * lane),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=INK,
        )


def _floats(values: Sequence[Any]) -> list[float]:
    return [float(value) if is_number(value) else np.nan for value in values]
