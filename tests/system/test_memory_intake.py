"""The API process takes in bodies of any size in the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.api_alone import ApiAlone, api_alone
from benchmarks.processes import peak_mib, reset_peak, resident_mib
from tests.system.big_bodies import SLICE_BYTES, Slices, post_file, post_instances, write_zip

pytestmark = pytest.mark.system

ONE_MIB, EIGHT_MIB = 64.0, 256.0
GIB = 1 << 30


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiAlone]:
    (tmp_path / "data").mkdir()
    with api_alone(tmp_path / "data", SLICEBANK_MIN_FREE_BYTES="0") as running:
        yield running


def zip_growth(api: ApiAlone, folder: Path, size: int, *, at_once: int) -> float:
    """MiB by which the API's peak exceeds what it held before, while zips are taken in."""
    n_slices = size // SLICE_BYTES
    paths = []
    for number in range(at_once):
        paths.append(folder / f"{number}.zip")
        write_zip(paths[-1], Slices(folder / f"slice-{number}", series=number), n_slices)
    _warm(api, folder)
    before = _begin(api)
    with ThreadPoolExecutor(at_once) as pool:
        sent = [
            pool.submit(post_file, api, "/v1/series?encoder=dummy&priority=bulk", path, "application/zip")
            for path in paths
        ]
        for future in sent:
            status, body = future.result()
            assert status == 202, body
            assert body["series"][0]["n_slices"] == n_slices
    return peak_mib(api.pid) - before


def stow_growth(api: ApiAlone, folder: Path, size: int, *, at_once: int) -> float:
    n_slices = size // SLICE_BYTES
    series = [Slices(folder / f"slice-{number}", series=number) for number in range(at_once)]
    _warm(api, folder)
    before = _begin(api)
    with ThreadPoolExecutor(at_once) as pool:
        for future in [pool.submit(post_instances, api, slices(n_slices)) for slices in series]:
            status, body = future.result()
            assert status == 200, str(body)[:500]
            assert len(body["00081199"]["Value"]) == n_slices
    return peak_mib(api.pid) - before


def _warm(api: ApiAlone, folder: Path) -> None:
    """Loads what the first upload needs."""
    slices = Slices(folder / "warm", series=999)
    write_zip(folder / "warm.zip", slices, 3)
    assert post_file(api, "/v1/series?encoder=dummy", folder / "warm.zip", "application/zip")[0] == 202
    assert post_instances(api, slices(2))[0] == 200


def _begin(api: ApiAlone) -> float:
    reset_peak(api.pid)
    return resident_mib(api.pid)


def test_a_zip(api: ApiAlone, tmp_path: Path) -> None:
    assert zip_growth(api, tmp_path, 256 << 20, at_once=1) < ONE_MIB


def test_a_chunked_stow(api: ApiAlone, tmp_path: Path) -> None:
    assert stow_growth(api, tmp_path, 256 << 20, at_once=1) < ONE_MIB


@pytest.mark.slow
def test_a_zip_of_two_gibibytes(api: ApiAlone, tmp_path: Path) -> None:
    assert zip_growth(api, tmp_path, 2 * GIB, at_once=1) < ONE_MIB


@pytest.mark.slow
def test_a_chunked_stow_of_two_gibibytes(api: ApiAlone, tmp_path: Path) -> None:
    assert stow_growth(api, tmp_path, 2 * GIB, at_once=1) < ONE_MIB


@pytest.mark.slow
def test_eight_zips_of_two_gibibytes_at_once(api: ApiAlone, tmp_path: Path) -> None:
    assert zip_growth(api, tmp_path, 2 * GIB, at_once=8) < EIGHT_MIB


@pytest.mark.slow
def test_eight_chunked_stows_of_two_gibibytes_at_once(api: ApiAlone, tmp_path: Path) -> None:
    assert stow_growth(api, tmp_path, 2 * GIB, at_once=8) < EIGHT_MIB
