"""The attention of a prediction as a picture: a curve per window over the slices, and the slices that drew most of it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

# Okabe and Ito's palette: told apart by every kind of colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_INK = "#222222"
_FAINT = "#8a8a8a"
_DPI = 130
_WIDTH_INCHES = 10.0
# More outputs than this would run out of the headline; the rest is in the JSON.
_OUTPUTS_SHOWN = 4
# Share of the axis that a rank written above it needs.
_RANK_WIDTH = 0.012
# Room above the highest point for the legend.
_HEADROOM = 1.18


@dataclass(frozen=True, slots=True)
class PictureSlice:
    """One of the slices shown below the curve.

    Attributes:
        slice_index: 0-based, from the lowest.
        z_mm: position along the normal, mm; NaN where unknown.
        weight: its share of the attention, all windows together.
        thumbnail: JPEG bytes, or None where the bag keeps none.
    """

    slice_index: int
    z_mm: float
    weight: float
    thumbnail: bytes | None


@dataclass(frozen=True, slots=True)
class AttentionPicture:
    """What the picture shows.

    Attributes:
        head: name and version of the head.
        series: what names the series; its end is shown when it is long.
        encoder: encoder id, with a word where it is untrained.
        outputs: each in a few words, the first one first.
        windows: names of the windows, in the order of `window_index`.
        slice_index: (N,) of each row; -1 for a scan-level bag.
        window_index: (N,) of each row.
        weights: (N,) attention, summing to 1.
        top: slices shown, most attended first.
    """

    head: str
    series: str
    encoder: str
    outputs: Sequence[str]
    windows: Sequence[str]
    slice_index: NDArray[np.int32]
    window_index: NDArray[np.int8]
    weights: NDArray[np.float64]
    top: Sequence[PictureSlice]


def draw_attention(picture: AttentionPicture) -> bytes:
    """Draws a picture.

    Returns:
        A PNG.
    """
    shown = list(picture.top)
    figure = Figure(
        figsize=(_WIDTH_INCHES, 6.6 if shown else 4.2),
        dpi=_DPI,
        facecolor="white",
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06),
    )
    areas = figure.subfigures(2 if shown else 1, 1, height_ratios=(1.35, 1.0) if shown else (1.0,), squeeze=False)
    upper = areas[0, 0]
    if shown:
        _draw_slices(areas[1, 0].subplots(1, len(shown), squeeze=False)[0], shown)
    _headline(upper, picture)
    axes = upper.subplots()
    if picture.slice_index.size and picture.slice_index.max() >= 0:
        _draw_curves(axes, picture)
    else:
        axes.axis("off")
        axes.text(
            0.5,
            0.5,
            "This encoder reads the scan as a whole: there is no attention per slice.",
            ha="center",
            va="center",
            color=_FAINT,
        )
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is a box in the picture, and need not be told in the log, with the label.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(target)  # type: ignore[no-untyped-call]
    return target.getvalue()


def _headline(area: SubFigure, picture: AttentionPicture) -> None:
    words = list(picture.outputs[:_OUTPUTS_SHOWN])
    if len(picture.outputs) > _OUTPUTS_SHOWN:
        words.append(f"and {len(picture.outputs) - _OUTPUTS_SHOWN} more")
    area.suptitle(
        "   ·   ".join(words), x=0.01, ha="left", fontsize=16, fontweight="bold", color=_INK, parse_math=False
    )
    series = picture.series if len(picture.series) <= 44 else f"…{picture.series[-43:].lstrip('.')}"
    area.text(
        0.99,
        0.985,
        f"head {picture.head}   ·   encoder {picture.encoder}\nseries {series}",
        ha="right",
        va="top",
        fontsize=7.5,
        color=_FAINT,
        parse_math=False,
    )


def _draw_curves(axes: Axes, picture: AttentionPicture) -> None:
    n_slices = int(picture.slice_index.max()) + 1
    for index, window in enumerate(picture.windows):
        rows = picture.window_index == index
        if not rows.any():
            continue
        # A slice left out of the bag has no attention: the line breaks there.
        curve = np.full(n_slices, np.nan)
        curve[picture.slice_index[rows]] = picture.weights[rows]
        colour = _COLOURS[index % len(_COLOURS)]
        slices = np.arange(n_slices)
        axes.plot(
            slices, curve, color=colour, linewidth=1.6, label=f"{window} window", marker="o" if n_slices == 1 else None
        )
        axes.fill_between(slices, 0, curve, color=colour, alpha=0.14, linewidth=0)
    highest = float(picture.weights.max())
    # Equal shares: what a head that looks nowhere in particular would give.
    axes.axhline(1.0 / picture.weights.size, color=_FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.annotate(
        "equal shares",
        (1.0, 1.0 / picture.weights.size),
        xycoords=("axes fraction", "data"),
        xytext=(-3, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7.5,
        color=_FAINT,
    )
    _mark_ranks(axes, [item.slice_index for item in picture.top], n_slices)
    axes.set_xlim(-0.5 if n_slices == 1 else 0, max(n_slices - 1, 0.5))
    axes.set_ylim(0, highest * _HEADROOM)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _position: f"{100 * share:g} %"))
    axes.set_xlabel("slice, from the lowest up", color=_INK)
    axes.set_ylabel("attention", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8.5)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=3)


def _mark_ranks(axes: Axes, top: Sequence[int], n_slices: int) -> None:
    """Writes the ranks above their slices; neighbours climb so that none covers another."""
    last_in_lane: list[int] = []
    for slice_index, rank in sorted((slice_index, rank) for rank, slice_index in enumerate(top, start=1)):
        free = (lane for lane, last in enumerate(last_in_lane) if slice_index - last >= n_slices * _RANK_WIDTH)
        lane = next(free, len(last_in_lane))
        last_in_lane[lane : lane + 1] = [slice_index]
        axes.axvline(slice_index, color=_INK, linewidth=0.7, alpha=0.35)
        axes.annotate(
            str(rank),
            (slice_index, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3 + 9 * lane),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=_INK,
        )


def _draw_slices(panels: Sequence[Axes], shown: Sequence[PictureSlice]) -> None:
    for rank, (axes, item) in enumerate(zip(panels, shown, strict=True), start=1):
        axes.set_xticks([])
        axes.set_yticks([])
        if item.thumbnail is not None:
            axes.imshow(np.asarray(Image.open(io.BytesIO(item.thumbnail)).convert("L")), cmap="gray", vmin=0, vmax=255)
        else:
            axes.text(
                0.5,
                0.5,
                "no picture kept",
                ha="center",
                va="center",
                fontsize=8,
                color=_FAINT,
                transform=axes.transAxes,
            )
            axes.set_aspect("equal", adjustable="box")
        for spine in axes.spines.values():
            spine.set_color("#cccccc")
        axes.set_title(f"{rank}   slice {item.slice_index}", fontsize=9.5, color=_INK, loc="left", pad=4)
        where = f"z {item.z_mm:.1f} mm   ·   ".replace("-", "\N{MINUS SIGN}") if np.isfinite(item.z_mm) else ""
        axes.set_xlabel(f"{where}{item.weight:.1%}", fontsize=8.5, color=_INK)
