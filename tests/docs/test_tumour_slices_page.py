"""The table of docs/tumour_slices.md is that of the committed result."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.record import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "tumour_slices.md"
RESULT = RESULTS / "amd-epyc-avx512-bf16-2-cores" / "tumour_slices.json"
NAMES = {"ircad17": "liver", "lung1": "lung"}


def test_the_table_is_that_of_the_result() -> None:
    text = PAGE.read_text(encoding="utf-8")
    figures = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]
    assert set(figures["scans"]) == set(NAMES)
    for name, scan in figures["scans"].items():
        start = f"| {NAMES[name]} | {scan['slices']} | {scan['tumour_slices']} | {scan['parts']} |"
        assert f"{start} nothing: `height` | {scan['height']:.3f} | | |" in text
        for encoder, found in scan["encoders"].items():
            low, high = found["auroc_interval"]
            assert (
                f"{start} `{encoder}` | {found['auroc']:.3f} ({low:.3f} to {high:.3f}) | {found['auprc']:.3f} | "
                f"{found['sensitivity_at_90_specificity']:.3f} |" in text
            )


def test_it_says_what_height_alone_does() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "height alone tells" in " ".join(text.split())
    assert "nothing follows for another patient" in " ".join(text.split())
