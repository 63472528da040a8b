"""The figures of several encoders as JSON and as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder_quality.landmarks import REGIONS
from benchmarks.encoder_quality.probes import NEIGHBOURS, PROBE_C
from benchmarks.encoder_quality.resampling import LEVEL, Estimate, draw_blocks, estimates
from benchmarks.encoder_quality.series import EvaluationSeries
from benchmarks.encoder_quality.tasks import BLOCK_MM, GUARD_MM, HELD_OUT_MM, block_sizes, make_tasks

JSON = dict[str, Any]
SEED = 0


def measure(series: Sequence[EvaluationSeries], features: Mapping[str, NDArray[np.float32]], n_draws: int) -> JSON:
    """Every task with every encoder, and the first encoder against the others.

    Args:
        series: that the features are of.
        features: (slices, D) by encoder; the first is the one that is judged.
        n_draws: samples of the bootstrap.
    """
    tasks = []
    for task in make_tasks(series):
        sizes, blocks = block_sizes(series, task.members)
        draws = draw_blocks(sizes, blocks, n_draws, SEED)
        answers = {name: task.answer(values) for name, values in features.items()}
        single, paired = estimates(answers, len(task.members), draws)
        first = next(iter(features))
        tasks.append(
            {
                "task": task.name,
                "measure": task.measure,
                "patients": task.patients,
                "slices": len(task.members),
                "chance": task.chance,
                "higher_is_better": task.higher_is_better,
                "encoders": {name: _plain(estimate) for name, estimate in single.items()},
                "differences": {
                    other: {**_plain(estimate), "verdict": _verdict(estimate, task.higher_is_better)}
                    for (one, other), estimate in paired.items()
                    if one == first
                },
            }
        )
    return {
        "series": [_about(each) for each in series],
        "method": {
            "neighbours": NEIGHBOURS,
            "probe_c": PROBE_C,
            "held_out_mm": HELD_OUT_MM,
            "guard_mm": GUARD_MM,
            "bootstrap": {"draws": n_draws, "block_mm": BLOCK_MM, "level": LEVEL, "seed": SEED},
        },
        "tasks": tasks,
    }


def markdown(figures: Mapping[str, Any]) -> str:
    """One line a task: figures with their intervals, then the first encoder minus each of the others."""
    names = list(figures["tasks"][0]["encoders"])
    others = names[1:]
    head = ["task", "measure", "patients", "chance", *(f"`{name}`" for name in names)]
    head += [f"`{names[0]}` - `{other}`" for other in others]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for task in figures["tasks"]:
        cells = [task["task"], task["measure"] + ("" if task["higher_is_better"] else " (lower is better)")]
        cells += [str(task["patients"]), _number(task["chance"])]
        cells += [_interval(task["encoders"][name]) for name in names]
        cells += [
            f"{_interval(task['differences'][other], sign=True)} {task['differences'][other]['verdict']}"
            for other in others
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _verdict(difference: Estimate, higher_is_better: bool) -> str:
    low, high = (difference.low, difference.high) if higher_is_better else (-difference.high, -difference.low)
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _plain(estimate: Estimate) -> JSON:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _about(series: EvaluationSeries) -> JSON:
    counts = np.bincount(series.region, minlength=len(REGIONS))
    return {
        "name": series.name,
        "slices": len(series),
        "spacing_mm": series.spacing_mm,
        "regions": {name: int(count) for name, count in zip(REGIONS, counts, strict=True) if count},
    }


def _interval(values: Mapping[str, float], *, sign: bool = False) -> str:
    return f"{_number(values['value'], sign=sign)} ({_number(values['low'], sign=sign)} to {_number(values['high'], sign=sign)})"


def _number(value: float, *, sign: bool = False) -> str:
    digits = 1 if abs(value) >= 10 else 3
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
