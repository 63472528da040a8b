"""Tables of the benchmarks that run a whole deployment."""

from __future__ import annotations

from benchmarks.page.tables import Figures, number, table


def scaling(figures: Figures) -> str:
    """Rows a second over the number of workers."""
    most = figures["most_rows_per_s_of_one"]
    rows = table(
        ("workers", "rows/s", "times one worker's", "of what the encoder allows"),
        (
            [
                str(point["workers"]),
                number(point["rows_per_s"], 1),
                number(point["of_one_worker"]),
                number(point["rows_per_s"] / (most * point["workers"])),
            ]
            for point in figures["points"]
        ),
    )
    return f"{rows}\n\nEncoder `{figures['encoder']}`, {figures['series']} series of {figures['slices_per_series']} slices; asked: {figures['needed']:g} times at 4 workers."
