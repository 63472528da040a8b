"""The tables of docs/performance.md say what the results say."""

from __future__ import annotations

import re

from benchmarks import BENCHMARKS
from benchmarks.page.__main__ import PAGE
from benchmarks.page.blocks import BLOCKS, block_names, render
from benchmarks.page.results import ON_PAGE, read_machines
from benchmarks.record import RESULTS


def test_tables_are_those_of_the_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render(text, read_machines(RESULTS)) == text, "run `python -m benchmarks.page`"


def test_every_block_is_on_the_page_once() -> None:
    assert sorted(block_names(PAGE.read_text(encoding="utf-8"))) == sorted(BLOCKS)


def test_every_benchmark_but_those_of_heads_scans_and_ablations_is_on_the_page() -> None:
    """phantom_lesions and synthetic_mil stand in docs/heads.md, tumour_slices in docs/tumour_slices.md, selective_scan in docs/selective_scan.md, lecl_phantoms in docs/ablation.md;
    encoder_quality is about features."""
    elsewhere = {
        "phantom_lesions",
        "synthetic_mil",
        "tumour_slices",
        "selective_scan",
        "lecl_phantoms",
        "encoder_quality",
    }
    assert set(BENCHMARKS) - elsewhere == set(ON_PAGE)


def test_every_plot_exists() -> None:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).is_file(), target


def test_a_gpu_is_named_or_the_page_says_that_there_is_none() -> None:
    says_none = "No GPU figure has been measured yet" in PAGE.read_text(encoding="utf-8")
    assert says_none == all(machine.gpu is None for machine in read_machines(RESULTS))
