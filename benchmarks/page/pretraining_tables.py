"""From the figures of pre-training to Markdown."""

from __future__ import annotations

from benchmarks.page.tables import Figures, number, rate, table


def pretraining_speed(figures: Figures) -> str:
    """Steps from the cache against steps whose batch is on the device already."""
    rows = [
        [
            f"`{name}`",
            measured["dtype"],
            str(measured["threads"]),
            rate(measured["slices_per_s"]),
            rate(measured["resident_slices_per_s"]),
            number(measured["ratio"]),
            f"{100 * max(measured['spread'].values()):.0f} %",
            "none" if measured["needed_slices_per_s"] is None else rate(measured["needed_slices_per_s"]),
        ]
        for name, measured in figures["architectures"].items()
    ]
    header = (
        "architecture",
        "computes in",
        "threads",
        "from the cache, slices/s",
        "batch on the device, slices/s",
        "ratio",
        "spread",
        "wanted, slices/s",
    )
    parts = f", accumulated in {figures['parts']} parts" if figures["parts"] > 1 else ""
    return (
        f"{table(header, rows)}\n\nBatches of {figures['batch']}{parts}. The ratio is the median of "
        f"ratios within a round, wanted is {number(figures['needed_ratio'])}; spread is the interquartile range of a step's time "
        "over its median, and where it is large the machine was busy and the rates are too low."
    )
