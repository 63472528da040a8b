"""How figures are drawn: as SVG whose text stays text, the same bytes for the same figures."""

from __future__ import annotations

from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from slicebank.benchmark.state_file import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that readers with any colour vision tell apart (Okabe and Ito), and marks for those who see none.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def style() -> AbstractContextManager[None]:
    """Settings of all figures."""
    import matplotlib

    return matplotlib.rc_context({"svg.hashsalt": "slicebank", "svg.fonttype": "none", "font.size": 9.0})


def save_svg(figure: Figure, path: Path) -> None:
    """Writes a figure, in the place of the one before."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    write_text(path, buffer.getvalue().decode("utf-8"))


def plain_axes(axes: Axes) -> None:
    """Two spines and a faint grid across."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
