"""The paper's Figure 2: AUC over the lesion weight of LECL, a panel a task; without such encoders, every encoder's mean side by side."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicebank.benchmark.drawing import COLOURS, MARKS, plain_axes, save_svg, style
from slicebank.benchmark.results import AVERAGE, SHARES, SPOKEN, Score, TaskResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The paper's names: MambaOut-LECL-0, MambaOut-MoCo.
_LECL = re.compile(r"(.+?)[-_ ]LECL[-_ ](\d+(?:\.\d+)?)", re.IGNORECASE)
_MOCO = re.compile(r"(.+?)[-_ ]MoCo", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Variant:
    """What a title says of pre-training: architecture, and lesion weight; None for MoCo v3."""

    architecture: str
    weight: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One encoder's figure of one task, over all labels."""

    task: str
    title: str
    variant: Variant | None
    metric: str
    score: Score


def variant_of(title: str) -> Variant | None:
    """Architecture and lesion weight of a title such as `MambaOut-LECL-0` or `MambaOut-MoCo`; None for other titles."""
    if (found := _LECL.fullmatch(title)) is not None:
        return Variant(found[1], float(found[2]))
    found = _MOCO.fullmatch(title)
    return None if found is None else Variant(found[1], None)


def points_of(results: Sequence[TaskResult]) -> list[Point]:
    """Of the first metric of each task."""
    return [
        Point(
            result.name,
            row.title,
            variant_of(row.title),
            result.metrics[0],
            row.score(AVERAGE if len(result.labels) > 1 else result.labels[0], result.metrics[0]),
        )
        for result in results
        for row in result.encoders
    ]


def points_csv(results: Sequence[TaskResult]) -> str:
    """One line a task and model: everything that is in the figure."""
    titles = {result.name: result.title for result in results}
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["task", "title", "model", "architecture", "lesion_weight", "metric", "mean", "sd"])
    for point in points_of(results):
        variant = point.variant
        architecture = variant.architecture if variant else ""
        weight = "" if variant is None or variant.weight is None else f"{variant.weight:g}"
        mean, sd = ("" if value is None else f"{value:.6f}" for value in (point.score.mean, point.score.sd))
        rows.writerow([point.task, titles[point.task], point.title, architecture, weight, point.metric, mean, sd])
    return text.getvalue()


def is_ablation(results: Sequence[TaskResult]) -> bool:
    """Whether there are lesion weights to draw over."""
    return any(point.variant is not None and point.variant.weight is not None for point in points_of(results))


def caption_of(results: Sequence[TaskResult]) -> str:
    """What the figure shows."""
    over = "by lesion weight of LECL; MoCo v3 is a line across" if is_ablation(results) else "by encoder"
    return f"Figure 2. All labels together, {over}. Bars are one deviation over the folds."


def draw_figure2(results: Sequence[TaskResult], path: Path) -> None:
    """Writes the figure; bars are one standard deviation over folds.

    Args:
        results: of at least one task.
        path: of the SVG.
    """
    from matplotlib.figure import Figure

    points = points_of(results)
    ablation = is_ablation(results)
    with style():
        figure = Figure(figsize=(0.8 + 4.0 * len(results), 3.6), layout="constrained")
        panels = figure.subplots(1, len(results), squeeze=False)[0]
        for axes, result in zip(panels, results, strict=True):
            own = [point for point in points if point.task == result.name and point.score.mean is not None]
            (_over_weights if ablation else _side_by_side)(axes, own)
            axes.set_title(result.title, fontsize="medium")
            metric = result.metrics[0]
            axes.set_ylabel(f"{SPOKEN.get(metric, metric)}{' x 100' if metric in SHARES else ''}")
            plain_axes(axes)
        handles: dict[str, Any] = {}
        for axes in panels:
            handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        if handles:
            figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, frameon=False)
        save_svg(figure, path)


def _over_weights(axes: Axes, points: Sequence[Point]) -> None:
    lecl = [point for point in points if point.variant is not None and point.variant.weight is not None]
    weights = sorted({point.variant.weight for point in lecl if point.variant and point.variant.weight is not None})
    places = {weight: place for place, weight in enumerate(weights)}
    named = list(dict.fromkeys(point.variant.architecture for point in points if point.variant is not None))
    for number, architecture in enumerate(named):
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
        # Side by side, so that bars of several architectures do not hide each other.
        aside = 0.08 * (number - 0.5 * (len(named) - 1))
        drawn = [
            (places[point.variant.weight] + aside, *_scaled(point))
            for point in sorted(lecl, key=lambda point: point.variant.weight or 0.0 if point.variant else 0.0)
            if point.variant and point.variant.weight is not None and point.variant.architecture == architecture
        ]
        if drawn:
            at, means, spreads = zip(*drawn, strict=True)
            axes.errorbar(at, means, yerr=spreads, color=colour, marker=mark, capsize=3, label=f"{architecture}, LECL")
        for point in points:
            if point.variant == Variant(architecture, None):
                axes.axhline(_scaled(point)[0], color=colour, linestyle="--", label=f"{architecture}, MoCo")
    for number, point in enumerate(point for point in points if point.variant is None):
        axes.axhline(_scaled(point)[0], color="#8a8a8a", linestyle=(0, (1, 1 + number)), label=point.title)
    axes.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axes.set_xlim(-0.4, max(len(weights), 1) - 0.6)
    axes.set_xlabel("lesion weight λ")


def _side_by_side(axes: Axes, points: Sequence[Point]) -> None:
    for number, point in enumerate(points):
        mean, spread = _scaled(point)
        axes.errorbar(number, mean, yerr=spread, color=COLOURS[number % len(COLOURS)], marker="o", capsize=3)
    axes.set_xticks(range(len(points)), [point.title for point in points], rotation=25, ha="right")
    axes.set_xlim(-0.6, max(len(points), 1) - 0.4)


def _scaled(point: Point) -> tuple[float, float]:
    scale = 100.0 if point.metric in SHARES else 1.0
    return scale * (point.score.mean or 0.0), scale * (point.score.sd or 0.0)
