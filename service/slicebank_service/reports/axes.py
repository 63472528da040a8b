"""What the figures of a report have in common: plain axes, told-apart lines, legends that show any name as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slicebank_service.reports.svg import COLOURS, DASHES, FAINT, GRID, INK

# More curves in one figure cannot be told apart: six colours, three dashes.
MOST_CURVES = len(COLOURS) * len(DASHES)
_NAME_LENGTH = 28


def plain(axes: Axes, x: str, y: str) -> None:
    """Gives axes their names, two spines and a faint grid."""
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def unit_square(figure: Figure, x: str, y: str) -> Axes:
    """Axes from 0 to 1 both ways."""
    axes = figure.subplots()
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    plain(axes, x, y)
    return axes


def line(place: int) -> dict[str, Any]:
    """Colour, dash and width of the curve of a place."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
        "linewidth": 1.6,
    }


def finished(figure: Figure, axes: Axes, names: Sequence[str]) -> Figure | None:
    """Adds a legend of the curves, in the order of their places; no figure where nothing was drawn."""
    if not names:
        return None
    shown = names[:MOST_CURVES]
    handles = [axes.plot([], [], **line(place))[0] for place in range(len(shown))]
    # Named by numbers first: the library takes a name that begins with "_" for none, and one with $ for mathematics.
    legend = axes.legend(handles, [str(place) for place in range(len(shown))], frameon=False, fontsize=8)
    for text, name in zip(legend.get_texts(), shown, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
        text.set_color(INK)
    if len(names) > len(shown):
        axes.set_title(f"{len(shown)} of {len(names)} labels", fontsize=8, color=FAINT, loc="right")
    return figure


def named(label: str, measure: str, value: object) -> str:
    """A label with its figure, as a legend shows them."""
    return f"{short(label)}   {measure} {value:.3f}" if is_number(value) else short(label)


def short(name: str) -> str:
    """A name cut to what a legend has room for."""
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def paired(curve: Mapping[str, Any], one: str, other: str) -> bool:
    """Whether a curve has both coordinates of its points."""
    first, second = curve.get(one), curve.get(other)
    return isinstance(first, list) and isinstance(second, list) and 0 < len(first) == len(second)


def is_number(value: object) -> bool:
    """Whether a value of a report can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
