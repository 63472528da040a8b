"""Tables about answers of heads."""

from __future__ import annotations

from benchmarks.page.tables import Figures, number, table, wanted

_PARTS = {
    "request": "request: looking up, asking the worker, the answer's JSON",
    "read": "reading head and bag",
    "predict": "the head",
    "tell": "attention by row and slice",
    "store": "the answer's row",
}


def prediction_latency(figures: Figures) -> str:
    """How long answers take, and where the time goes."""
    rows = []
    for name, what in (("computed", "computed"), ("known", "known already")):
        one = figures[name]
        cells = [number(one[key], 1) for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms")]
        rows.append([f"{what}, {one['asked']} asked", *cells])
    header = (
        f"{figures['rows']} rows of {figures['dim']}, {figures['folds']} folds",
        "p50, ms",
        "p90, ms",
        "p99, ms",
        "longest, ms",
    )
    parts = [[text, number(figures["parts_ms"][name], 1)] for name, text in _PARTS.items()]
    parts.append(["the head alone, on one core, beside nothing else", number(figures["head_alone_ms"], 1)])
    goals = "; of ".join(
        f"the {name[:-3]}, {wanted(figures['computed'][name], needed, at_most=True)}"
        for name, needed in figures["needed"].items()
    )
    return f"{table(header, rows)}\n\n{table(('median of the parts of a computed answer', 'ms'), parts)}\n\nOf {goals}."
