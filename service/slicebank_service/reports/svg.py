"""A figure as SVG: a file of its own, or a part of a page that takes its colours from it."""

from __future__ import annotations

import io
import re
import threading
import warnings
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK: Final = "#1c1e21"
FAINT: Final = "#7b828c"
GRID: Final = "#e2e5e9"
PAPER: Final = "#fefefe"
# Okabe and Ito's palette: told apart by every kind of colour vision, and seen on white and on black.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: Final = ("-", (0, (5, 2)), (0, (1, 1.5)))

_THEMED = {INK: "var(--ink)", FAINT: "var(--faint)", GRID: "var(--grid)", PAPER: "var(--paper)"}
# Text stays text: it is small, can be read aloud and searched, and needs no font of this machine.
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9.0, "axes.unicode_minus": True}
_WITHOUT = {"Date": None, "Creator": None, "Format": None, "Type": None}
# Settings of matplotlib belong to the process.
_DRAWING = threading.Lock()


def new_figure(width: float = 4.8, height: float = 3.8) -> Figure:
    """An empty figure.

    Args:
        width: inches.
        height: inches.
    """
    return Figure(figsize=(width, height), facecolor=PAPER, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))


def to_svg(figure: Figure, name: str) -> bytes:
    """The figure as a file; the same figure gives the same bytes.

    Args:
        figure: what is drawn.
        name: goes into the ids of its parts, so that several figures can stand in one page.
    """
    target = io.BytesIO()
    for axes in figure.axes:
        axes.set_facecolor("none")
    with _DRAWING, mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The reader's font draws the text; whether the font that only measures it has every letter does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasSVG(figure).print_svg(target, metadata=_WITHOUT)  # type: ignore[no-untyped-call]
    return target.getvalue()


def inline(svg: bytes, name: str, title: str) -> Markup:
    """A figure as a part of a page.

    Args:
        svg: what `to_svg` gave.
        name: told apart from the other figures of the page by it.
        title: read aloud in place of the figure.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # One sheet of styles of a figure would count for the whole page.
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _THEMED.items():
        text = text.replace(colour, variable)
    opening, rest = text.split(">", 1)
    opening = re.sub(r'\s(width|height|id)="[^"]*"', "", opening)
    label = Markup(' role="img" aria-label="{}" stroke-linejoin="round">').format(title)
    return Markup(opening) + label + Markup(rest)  # noqa: S704 - matplotlib escapes the texts it draws
