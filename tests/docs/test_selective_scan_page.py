"""The figures of docs/selective_scan.md are those of the committed result."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.record import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "selective_scan.md"
RESULT = RESULTS / "amd-epyc-avx512-bf16-2-cores" / "selective_scan.json"
ON_GPU = RESULTS / "nvidia-h100-80gb-hbm3" / "selective_scan.json"
NEEDED_SCAN, NEEDED_ENCODER, NEEDED_ERROR = 8.0, 4.0, 1e-4
NEEDED_TRITON, NEEDED_TRITON_ERROR = 5.0, 1e-3


def test_the_figures_are_those_of_the_result_and_meet_what_is_needed() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    figures = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]
    faster = [scan["times_as_fast_as_reference"] for scan in figures["scans"]]
    for form, words in (
        ("compiled", "`compiled`, arguments in scanning order"),
        ("in_place", "`compiled`, image in place, as the encoder runs it"),
        ("chunked", "`chunked`"),
    ):
        cells = " | ".join(f"{scan[form]:.1f} x" for scan in faster)
        assert f"| {words} | {cells} |" in text
    assert all(scan["compiled"] >= NEEDED_SCAN for scan in faster)
    assert all(error <= NEEDED_ERROR for scan in figures["scans"] for error in scan["largest_error"].values())
    longer = figures["encoders"]["times_as_long_as_mambaout_tiny"]
    assert f"takes {longer['vmamba_default.untrained']:.1f} times as long as through `mambaout_tiny`" in text
    assert f"`vmamba_tiny` {longer['vmamba_tiny.untrained']:.1f} times" in text
    assert longer["vmamba_default.untrained"] <= NEEDED_ENCODER
    assert f"grows by {figures['encoders']['peak_rose_by_mb']:.0f} MB" in text


def test_the_figures_of_a_gpu_are_those_of_the_result_and_meet_what_is_needed() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    scans = json.loads(ON_GPU.read_text(encoding="utf-8"))["figures"]["scans"]
    for what, words in (("forward", "forward"), ("training_step", "training step")):
        cells = " | ".join(f"{scan['triton_times_as_fast'][what]:.1f} x" for scan in scans)
        assert f"| `triton` against `chunked`, {words} | {cells} |" in text
        assert all(scan["triton_times_as_fast"][what] >= NEEDED_TRITON for scan in scans)
    cells = " | ".join(f"{scan['largest_error']['triton']:.0e}".replace("e-0", "e-") for scan in scans)
    assert f"| largest error of `triton` | {cells} |" in text
    assert all(scan["largest_error"]["triton"] <= NEEDED_TRITON_ERROR for scan in scans)
