"""The paper's Figure 2 for the data at hand: AUROC over the lesion weight, MoCo v3 as a line across."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slicebank_models.pretraining.ablation_report import TASKS, AblationSummary
from slicebank_models.pretraining.spec import Method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE = "figure2.svg"
# Colours that readers with any colour vision tell apart (Okabe and Ito), and marks for those who see none.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def has_matplotlib() -> bool:
    """Whether the package `matplotlib` is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_ablation(summaries: Sequence[AblationSummary], path: Path) -> None:
    """Writes the figure as SVG; needs matplotlib.

    Args:
        summaries: Of at least one task.
        path: Of the file.
    """
    import matplotlib

    # Text stays text, and the same results give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "slicebank", "svg.fonttype": "none"}):
        ablation_figure(summaries).savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def ablation_figure(summaries: Sequence[AblationSummary]) -> "Figure":
    """One picture a task, one colour an architecture; bars and bands are one standard deviation over the seeds."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(summary.task for summary in summaries))
    figure = Figure(figsize=(0.8 + 4.4 * len(tasks), 3.8), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        _panel(axes, [summary for summary in summaries if summary.task == task])
        axes.set_title(TASKS[task], fontsize="medium")
    panels[0].set_ylabel("AUROC, held-out patients")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def _panel(axes: "Axes", summaries: Sequence[AblationSummary]) -> None:
    weights = sorted({s.variant.lesion_weight for s in summaries if s.variant.method is Method.LECL})
    places = {weight: place for place, weight in enumerate(weights)}
    architectures = list(dict.fromkeys(summary.variant.architecture for summary in summaries))
    for number, architecture in enumerate(architectures):
        own = [summary for summary in summaries if summary.variant.architecture == architecture]
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
        # Side by side, so that bars of several architectures do not hide each other.
        aside = 0.08 * (number - 0.5 * (len(architectures) - 1))
        lecl = [summary for summary in own if summary.variant.method is Method.LECL]
        if lecl:
            axes.errorbar(
                [places[summary.variant.lesion_weight] + aside for summary in lecl],
                [summary.mean for summary in lecl],
                yerr=[summary.sd or 0.0 for summary in lecl],
                color=colour,
                marker=mark,
                capsize=3,
                label=f"{architecture}, LECL",
            )
        for moco in (summary for summary in own if summary.variant.method is Method.MOCO):
            axes.axhline(moco.mean, color=colour, linestyle="--", linewidth=1.2, label=f"{architecture}, MoCo")
            if moco.sd is not None:
                axes.axhspan(moco.mean - moco.sd, moco.mean + moco.sd, color=colour, alpha=0.12, linewidth=0)
    axes.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axes.set_xlim(-0.4, max(len(weights), 1) - 0.6)
    axes.set_xlabel("lesion weight λ")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
