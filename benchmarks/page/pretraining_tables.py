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
            rate(measured["read_alone_slices_per_s"]) if "readers" in measured else "not measured",
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
        "read alone, slices/s",
        "spread",
        "wanted, slices/s",
    )
    parts = f", accumulated in {figures['parts']} parts" if figures["parts"] > 1 else ""
    alternating = {measured.get("steps_a_turn", 1) for measured in figures["architectures"].values()} == {1}
    return (
        f"{table(header, rows)}\n\nBatches of {figures['batch']}{parts}. The ratio is the median of "
        f"ratios within a round, wanted is {number(figures['needed_ratio'])}; spread is the interquartile range of a turn's time "
        "over its median, and where it is large the machine was busy and the rates are too low."
        + _reading(figures, alternating=alternating)
    )


def _reading(figures: Figures, *, alternating: bool) -> str:
    """What reading cost in the variant that reads, and what it could not cost."""
    if alternating:
        return (
            " The variants took turns a step at a time, by an earlier form of this benchmark: eight threads could go on reading while the "
            "others' steps ran, so the ratio tells the most that it can be, and is to be measured again."
        )
    readers = {measured["readers"] for measured in figures["architectures"].values()}
    steps = {measured["steps_a_turn"] for measured in figures["architectures"].values()}
    return (
        f" A turn is {_one(steps)} steps, read by {_one(readers)} threads from a cache that the operating system holds in memory; what the "
        'threads read while nothing trains stands under "read alone".'
    )


def _one(numbers: set[int]) -> str:
    return " or ".join(str(number) for number in sorted(numbers))
