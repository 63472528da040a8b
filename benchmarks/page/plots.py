"""Plots of the page as SVG, the same bytes for the same figures; one function a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Figures = Mapping[str, Any]
# Colours that readers with any colour vision tell apart (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
STYLE = {
    "svg.hashsalt": "slicebank",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def encoder_alone(figures: Figures) -> Figure:
    """Rows a second over batch size, one picture an encoder, one line a precision and number of runners."""
    encoders = figures["encoders"]
    figure, panels = _panels(len(encoders))
    for axes, (name, encoder) in zip(panels, encoders.items(), strict=True):
        lines: dict[tuple[str, int, int], list[tuple[int, float]]] = {}
        for point in encoder["points"]:
            key = (point["precision"], point["runners"], point["threads"])
            lines.setdefault(key, []).append((point["batch"], point["rows_per_s"]))
        for (precision, runners, threads), points in sorted(lines.items()):
            batches, rates = zip(*sorted(points), strict=True)
            axes.plot(batches, rates, marker="o", label=f"{precision}, {runners} x {threads} threads")
        batches = sorted({point["batch"] for point in encoder["points"]})
        axes.set_xscale("log", base=2)
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("batch")
        _from_zero(axes)
        axes.legend(fontsize="x-small", loc="lower right")
    panels[0].set_ylabel("rows/s")
    return figure


def end_to_end(figures: Figures) -> Figure:
    """The share of the encoder's own speed, over series at once, one picture an encoder."""
    encoders = figures["encoders"]
    figure, panels = _panels(len(encoders))
    for axes, (name, encoder) in zip(panels, encoders.items(), strict=True):
        for syntax in sorted({run["syntax"] for run in encoder["runs"]}):
            runs = sorted((run for run in encoder["runs"] if run["syntax"] == syntax), key=lambda run: run["series"])
            series = [run["series"] for run in runs]
            (line,) = axes.plot(series, [run["of_alone"] for run in runs], marker="o", label=syntax)
            with_upload = [run["with_upload_of_alone"] for run in runs]
            axes.plot(
                series, with_upload, marker="x", linestyle=":", color=line.get_color(), label=f"{syntax}, with upload"
            )
        counts = sorted({run["series"] for run in encoder["runs"]})
        axes.axhline(1.0, color="#888888", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("series at once")
        _from_zero(axes)
        axes.legend(fontsize="x-small", loc="lower right")
    panels[0].set_ylabel("of the encoder alone")
    return figure


def memory(figures: Figures) -> Figure:
    """The worker's peak over the length of a series, one line an encoder."""
    figure, (axes,) = _panels(1)
    for encoder in dict.fromkeys(point["encoder"] for point in figures["points"]):
        points = sorted(
            (point for point in figures["points"] if point["encoder"] == encoder), key=lambda point: point["slices"]
        )
        axes.plot([p["slices"] for p in points], [p["peak_mib"] for p in points], marker="o", label=f"peak, {encoder}")
    axes.axhline(figures["baseline_mib"], color="#888888", linewidth=1, label="idle")
    axes.set_xlabel("slices in the series")
    axes.set_ylabel("worker, MiB")
    _from_zero(axes)
    axes.legend(loc="lower right")
    return figure


def cohort_cost(figures: Figures) -> Figure:
    """Seconds per 1,000 slices over the size of the cohort."""
    figure, (axes,) = _panels(1)
    points = sorted(figures["points"], key=lambda point: point["series"])
    series = [point["series"] for point in points]
    axes.plot(series, [point["seconds_per_1000_slices"] for point in points], marker="o")
    axes.set_xscale("log")
    axes.set_xticks(series, [str(count) for count in series])
    axes.minorticks_off()
    axes.set_xlabel("series in the cohort")
    axes.set_ylabel("s per 1,000 slices")
    _from_zero(axes)
    return figure


def decode_rates(figures: Figures) -> Figure:
    """Slices a second per syntax; bars that are missing were not measured."""
    figure, (axes,) = _panels(1, width=8.0)
    names = list(figures["syntaxes"])
    found = [figures["syntaxes"][name]["slices_per_s"] for name in names]
    bars = [(decoder, count) for decoder in ("slicebank", "pydicom") for count in found[0]["slicebank"]]
    width = 0.8 / len(bars)
    for position, (decoder, count) in enumerate(bars):
        heights = [(rates[decoder] or {}).get(count, 0.0) for rates in found]
        places = [index + (position - (len(bars) - 1) / 2) * width for index in range(len(names))]
        axes.bar(places, heights, width, label=f"{decoder}, {count} thread{'s' if count != '1' else ''}")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("slices/s")
    axes.legend(fontsize="small")
    return figure


PLOTS: Mapping[str, Callable[[Figures], Figure]] = {
    "encoder_alone": encoder_alone,
    "end_to_end": end_to_end,
    "memory": memory,
    "cohort_cost": cohort_cost,
    "decode_rates": decode_rates,
}


def draw(benchmark: str, figures: Figures, path: Path) -> None:
    """Draws one benchmark's plot; the same figures and matplotlib give the same bytes."""
    with matplotlib.rc_context(STYLE):
        figure = PLOTS[benchmark](figures)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _from_zero(axes: Axes) -> None:
    """Starts the axis at zero, so that what looks flat is flat, and leaves room above the highest point."""
    axes.set_ylim(0.0, 1.05 * axes.dataLim.y1)


def _panels(count: int, width: float | None = None) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width or (5.6 if count == 1 else 3.6 * count), 3.2), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])
