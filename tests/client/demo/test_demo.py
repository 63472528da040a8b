"""The parts of the demo that need no server."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from slicebank import BagArrays, BagWindow, errors
from slicebank.demo.cohort import write_cohort, write_series
from slicebank.demo.picture import draw_bag, evenly_spaced, slice_similarity
from slicebank.demo.server import DemoServer, ServerDidNotStart


def bag(features: object, windows: int = 2, thumbnails: int = 0) -> BagArrays:
    buffer = io.BytesIO()
    Image.new("L", (256, 256), 90).save(buffer, "JPEG")
    return BagArrays(
        features=features,
        slice_index=(),
        window_index=(),
        slice_number=np.arange(thumbnails),
        z_mm=np.arange(thumbnails, dtype=float),
        sop_instance_uid=(),
        instance_number=(),
        thumbnails=(buffer.getvalue(),) * thumbnails,
        windows=(BagWindow("lung", -1500, 500),) * windows,
        attrs={},
    )


def test_similarity_against_the_plain_formula() -> None:
    features = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    found = slice_similarity(bag(features))
    rows = [np.concatenate([features[2 * index], features[2 * index + 1]]) for index in range(4)]
    rows = [row - np.mean(rows, axis=0) for row in rows]
    for i in range(4):
        for j in range(4):
            expected = rows[i] @ rows[j] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[j]))
            assert found[i, j] == pytest.approx(expected, abs=1e-5)


def test_similarity_of_one_slice_and_of_odd_rows() -> None:
    assert slice_similarity(bag(np.ones((2, 3), np.float32))).shape == (1, 1)
    assert slice_similarity(bag(np.eye(3, dtype=np.float32))).shape == (3, 3)
    with pytest.raises(errors.InputError):
        slice_similarity(bag(np.zeros((0, 3), np.float32)))


@pytest.mark.parametrize("thumbnails", [0, 3, 100])
def test_the_picture_is_one(tmp_path: Path, thumbnails: int) -> None:
    features = np.random.default_rng(0).normal(size=(2 * max(thumbnails, 1), 5)).astype(np.float32)
    target = tmp_path / "new" / "bag.png"
    draw_bag(bag(features, thumbnails=thumbnails), target, title="bag")
    with Image.open(target) as picture:
        assert picture.size[0] > picture.size[1] > 500


def test_evenly_spaced() -> None:
    assert evenly_spaced(3, 24) == [0, 1, 2]
    spaced = evenly_spaced(275, 24)
    assert (spaced[0], spaced[-1], len(set(spaced))) == (0, 274, 24)


def test_cohort_is_what_it_says(tmp_path: Path) -> None:
    cohort = list(write_cohort(tmp_path, n_training=2))
    assert [series.has_lesion for series in cohort] == [True, False, True, False]
    assert [series.folder.parent.name for series in cohort] == ["training", "training", "unseen", "unseen"]
    assert len({series.series_uid for series in cohort}) == 4
    for series in cohort:
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in series.folder.iterdir()]
        assert {str(header.SeriesInstanceUID) for header in headers} == {series.series_uid}
        assert all(index in range(len(headers)) for index in series.lesion_slices)
    again = write_series(tmp_path / "again", seed=2024, lesion=True)
    assert again.series_uid == cohort[0].series_uid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "serve.lock").mkdir()
    with DemoServer(tmp_path, {"PATH": os.environ["PATH"]}) as server, pytest.raises(ServerDidNotStart) as caught:
        server.wait_until_ready()
    assert "serve.lock" in str(caught.value)
    assert caught.value.hint


def test_nothing_is_left_running(tmp_path: Path) -> None:
    with DemoServer(tmp_path) as server:
        assert server._process is not None
        pid = server._process.pid
        assert alive(pid)
    assert not alive(pid)
    server.stop()


def test_settings_of_a_server_of_ones_own_are_not_inherited(tmp_path: Path) -> None:
    server = DemoServer(tmp_path, {"SLICEBANK_BROKER_URL": "redis://x", "HOME": "/h"})
    assert server._environ == {"HOME": "/h", "PYTHONSAFEPATH": "1"}
