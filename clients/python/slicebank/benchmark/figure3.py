"""The paper's Figure 3: attention over the slices of a case, a panel an encoder, and the most attended slices below.

Blue is the abdominal window and red the lung window, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicebank.benchmark.drawing import COLOURS, plain_axes, save_svg, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The paper's: blue is the abdominal window, red the lung window.
WINDOW_COLOURS: Mapping[str, str] = {"abdomen": "#1f4fd8", "lung": "#d62728"}
SHOWN_WINDOWS = ("abdomen", "lung")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Pictures = Mapping[tuple[int, str], bytes]


def slices_to_show(attention: Mapping[str, Any], count: int = 3) -> list[int]:
    """The slices that most attention of all encoders falls on, together; lowest first."""
    total: dict[int, float] = {}
    for told in attention.values():
        for points in told["windows"].values():
            for index, weight in points:
                total[int(index)] = total.get(int(index), 0.0) + weight
    return sorted(sorted(total, key=lambda index: (-total[index], index))[:count])


def draw_figure3(
    case: str,
    attention: Mapping[str, Any],
    titles: Mapping[str, str],
    pictures: Pictures,
    path: Path,
) -> bool:
    """Writes the figure of one case.

    Args:
        case: its name.
        attention: encoder -> what `attention_of` keeps.
        titles: encoder -> what tables call it.
        pictures: PNG by slice and window; those that are missing are left out.
        path: of the SVG.

    Returns:
        Whether there was anything to draw: encoders of scans have no attention.
    """
    from matplotlib.figure import Figure

    shown = [(titles[encoder], told["windows"]) for encoder, told in attention.items() if told["windows"]]
    if not shown:
        return False
    windows = [window for window in SHOWN_WINDOWS if any(key[1] == window for key in pictures)]
    slices = sorted({index for index, _ in pictures})
    with style():
        figure = Figure(figsize=(7.2, 1.7 * len(shown) + 2.3 * len(windows) + 0.5), layout="constrained")
        heights = [1.7 * len(shown), *([2.3 * len(windows)] if windows else [])]
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        panels = parts[0].subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for letter, axes, (title, curves) in zip(LETTERS, panels, shown, strict=False):
            _curves(axes, curves)
            axes.set_title(f"{letter}  {title}", loc="left", fontsize="medium")
        panels[-1].set_xlabel("slice, from the lowest")
        parts[0].supylabel("attention", fontsize="medium")
        if windows:
            grid = parts[1].subplots(len(windows), len(slices), squeeze=False)
            for at, window in enumerate(windows):
                letter = LETTERS[(len(shown) + at) % len(LETTERS)]
                for axes, index in zip(grid[at], slices, strict=True):
                    _picture(axes, pictures.get((index, window)), f"slice {index}")
                grid[at][0].set_title(f"{letter}  {window} window, slice {slices[0]}", loc="left", fontsize="small")
        figure.suptitle(f"Case {case}", fontsize="medium")
        save_svg(figure, path)
    return True


def _curves(axes: Axes, curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
    for number, (window, points) in enumerate(curves.items()):
        colour = WINDOW_COLOURS.get(window, COLOURS[(number + 2) % len(COLOURS)])
        at, weights = zip(*points, strict=True)
        axes.plot(at, weights, color=colour, linewidth=1.3, label=window)
        axes.fill_between(at, weights, color=colour, alpha=0.12, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=4, borderpad=0.2)
    plain_axes(axes)


def _picture(axes: Axes, png: bytes | None, title: str) -> None:
    from matplotlib.image import imread

    axes.set_axis_off()
    if png is not None:
        axes.imshow(imread(BytesIO(png), format="png"), cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, loc="left", fontsize="small")
