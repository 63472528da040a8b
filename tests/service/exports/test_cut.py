"""Connections that end in the middle of an export, over real HTTP."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from slicebank_store.bags import BagHeader, BagSlice, BagWriter
from slicebank_store.catalogue import BagRecord
from slicebank_store.recipe import Recipe
from tests.client.test_real_app import listening
from tests.service.support import ENCODER, KEY, Api, FakeWorker, MakeFiles, World, make_bags


def grow(world: World, bag: BagRecord, folder: Path, *, n_slices: int, dim: int) -> None:
    """Puts a large bag in the place of a small one."""
    slices = tuple(BagSlice(float(at), at, f"1.2.{at}", 1) for at in range(n_slices))
    recipe = Recipe.from_dict(bag.recipe)
    header = BagHeader(
        name=bag.bag_id, series_uid=bag.series_uid, revision=1, stack=0, level=bag.level, recipe=recipe,
        content_digest=bag.content_digest, slices=slices, geometry={}, rescale={}, rows=32, columns=32,
        field_of_view_mm=100.0, software="test", created_at=1.0,
    )  # fmt: skip
    writer = BagWriter(folder / "big.part", header, n_slices=n_slices, n_windows=len(recipe.windows), dim=dim)
    for at in range(n_slices):
        writer.append_slice(at, np.full((len(recipe.windows), dim), at, np.float32))
    world.blobs.put_file(bag.blob_key, writer.close({}).path)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_a_cut_export_made_goes_with_its_connection(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, tmp_path: Path, scratch: Path
) -> None:
    bags = make_bags(api, worker, make_files, 2)
    for bag in bags:
        grow(world, bag, tmp_path, n_slices=1000, dim=8000)  # 32 MB, more than sockets hold
    with listening(world) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        body = {"layout": "stamp", "encoder": ENCODER}
        for _ in range(2):
            with client.stream("POST", "/v1/exports", json=body) as response:
                assert response.status_code == 200
                next(response.iter_bytes(65_536))
                assert list(scratch.iterdir()), "the export is under way"
            until = time.monotonic() + 20
            while list(scratch.iterdir()) and time.monotonic() < until:
                time.sleep(0.02)
            assert list(scratch.iterdir()) == []
        assert client.get("/v1/bags").status_code == 200


def test_memory_is_that_of_one_bag(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, tmp_path: Path, scratch: Path
) -> None:
    bags = make_bags(api, worker, make_files, 8)
    for bag in bags:
        grow(world, bag, tmp_path, n_slices=600, dim=8000)  # 19 MB
    with listening(world) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as client:

        def fetch() -> int:
            with client.stream("POST", "/v1/exports", json={"layout": "trident", "encoder": ENCODER}) as response:
                return sum(len(block) for block in response.iter_bytes())

        fetch()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert fetch() > 8 * 19_000_000
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 40
