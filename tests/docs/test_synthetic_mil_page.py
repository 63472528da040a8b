"""The table of docs/heads.md on planted rows is the committed result."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.record import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "heads.md"
RESULT = RESULTS / "amd-epyc-avx512-bf16-2-cores" / "synthetic_mil.json"


def test_every_level_is_on_the_page() -> None:
    levels = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]["levels"]
    text = PAGE.read_text(encoding="utf-8")
    for level in levels:
        assert (
            f"| {level['bags']:,} | {level['distance']:g} | {level['head']} | {level['auroc']:.3f} | {level['oracle_auroc']:.3f} "
            f"| {100 * level['planted_row_first']:.0f} % | {level['cross_validated_auroc']:.3f} |"
        ) in text


def test_many_bags_come_near_to_what_can_be_known() -> None:
    levels = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]["levels"]
    many = [level for level in levels if level["bags"] >= 1000]
    assert many
    assert all(level["auroc"] >= level["oracle_auroc"] - 0.02 for level in many)
