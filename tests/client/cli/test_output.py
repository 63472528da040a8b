"""Cells and sizes as people read them."""

from __future__ import annotations

import pytest
from rich.console import Console

from slicebank.cli.output import Output, cell_text, size_text
from slicebank.cli.progress import job_phrase
from slicebank.records import Job, decode


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3 * 10**13, "30.0 TB")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (False, "no"), (0.123456, "0.1235"), (["a", 1], "a, 1"), ({"a": 1.0}, "a 1"), (3, "3")],
)
def test_cells(value: object, text: str) -> None:
    assert cell_text(value) == text


def test_what_has_no_value_is_not_told() -> None:
    assert cell_text({"repo": "a/b", "sha256": "", "volume": None, "mean": [], "gated": False, "size": 0}) == (
        "repo a/b, gated no, size 0"
    )


@pytest.mark.parametrize(
    ("width", "dropped"), [(200, ""), (70, "licence"), (45, "licence, windows"), (20, "licence, windows")]
)
def test_ids_stay_whole_on_narrow_terminals(
    width: int, dropped: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mambaout_base_plus_rw.sw_e150_in12k"
    output = Output()
    output.out = Console(force_terminal=True, color_system=None, width=width)
    output.table(
        ("encoder", "windows", "licence"), [(name, "abdomen, lung", "x " * 40)], empty="", spare=("windows", "licence")
    )
    told = capsys.readouterr()
    assert (name in told.out) == (width > len(name))
    assert (f"Too narrow for {dropped};" in told.err) == bool(dropped)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"state": "queued"}, "queued"),
        ({"state": "queued", "queue_position": 3}, "queued, number 3 in line"),
        (
            {"state": "queued", "queue_position": 3, "eta_seconds": 5400.0},
            "queued, number 3 in line, 90 min left",
        ),
        ({"state": "running"}, "running"),
        (
            {"state": "running", "progress": {"done": 2, "total": 9, "unit": "slices"}, "eta_seconds": 3.4},
            "2/9 slices, 3 s left",
        ),
        ({"state": "succeeded"}, "succeeded"),
    ],
)
def test_job_phrases(values: dict[str, object], text: str) -> None:
    assert job_phrase(decode(Job, {"job_id": "j", "kind": "embed", **values})) == text
