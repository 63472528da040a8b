"""Cells and sizes as people read them."""

from __future__ import annotations

import pytest

from slicebank.cli.output import cell_text, size_text
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
