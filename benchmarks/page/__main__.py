"""Rewrites the tables of docs/performance.md and the plots beside it: `python -m benchmarks.page`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page.blocks import PICTURES, picture_name, render
from benchmarks.page.results import read_machines
from benchmarks.record import RESULTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def main() -> None:
    """Rewrites page and plots, and removes plots that nothing is measured for any more."""
    from benchmarks.page.plots import PLOTS, draw

    machines = read_machines(RESULTS)
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), machines), encoding="utf-8")
    folder = PAGE.parent / PICTURES
    folder.mkdir(exist_ok=True)
    drawn = set()
    for machine in machines:
        for benchmark in PLOTS:
            figures = machine.figures(benchmark)
            if figures is not None:
                path = folder / picture_name(machine, benchmark)
                draw(benchmark, figures, path)
                drawn.add(path)
    for path in set(folder.glob("*.svg")) - drawn:
        path.unlink()
    print(f"{PAGE.name}: {len(machines)} machines, {len(drawn)} plots")


if __name__ == "__main__":
    main()
