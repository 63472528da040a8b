"""The tables of docs/ablation.md say what the benchmark found."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.record import RESULTS

ROOT = Path(__file__).parents[2]


def test_the_tables_have_the_figures_of_the_newest_result() -> None:
    page = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*/lecl_phantoms.json"))]
    figures = max(documents, key=lambda document: document["measured_at"])["figures"]
    few, untrained = figures["fewer_boxes"], figures["untrained"]
    rows = [
        f"| LECL-0, boxes on {few['annotated_share_of_slices']:.0%} of the slices | {few['mean']:.3f} ± {few['sd']:.3f} |",
        f"| first weights | {untrained['mean']:.3f} ± {untrained['sd']:.3f} |",
        *(f"| {name} | {auroc:.3f} |" for name, auroc in figures["baselines"].items()),
    ]
    for entry in figures["methods"]:
        row = f"| {entry['method']} | {entry['mean']:.3f} ± {entry['sd']:.3f} |"
        if entry["difference_mean"] is not None:
            difference = f"{entry['difference_mean']:+.3f} ± {entry['difference_sd']:.3f}"
            row += f" {difference} | {entry['above']} of {entry['paired']} |"
        rows.append(row)
    for row in rows:
        assert row in page, f"{row} is not in docs/ablation.md"
