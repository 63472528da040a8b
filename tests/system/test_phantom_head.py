"""A head trained through the service finds plain lesions in phantoms it never saw, and looks at the right slices."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.phantom_lesions import measure, write_cases
from tests.system.conftest import Service

pytestmark = pytest.mark.system


def test_head_on_hu_statistics_finds_plain_lesions(service: Service, tmp_path: Path) -> None:
    train = write_cases(tmp_path / "train", range(1000, 1120))
    test = write_cases(tmp_path / "test", range(5000, 5060))
    figures = measure(service.client, train, test, encoder="hu_statistics", name="plain-lesions")
    assert figures.unseen >= 0.9
    assert figures.top_slice_in_lesion >= 0.8 * figures.positives
    answer = service.client.heads.predict("plain-lesions", test[0].series_uid)
    assert sum(row.weight for row in answer.attention.rows) == pytest.approx(1, abs=1e-9)
    assert sum(item.weight for item in answer.attention.slices) == pytest.approx(1, abs=1e-9)
    assert [item.rank for item in answer.attention.top(3)] == [1, 2, 3]
