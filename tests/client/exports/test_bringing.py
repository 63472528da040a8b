"""Bags made elsewhere, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from slicebank import Conflict, InvalidRequest, PathNotFound
from tests.client.exports.test_saving import Running, running
from tests.client.shell import Run
from tests.service.support import KEY
from tests.store.bags.foreign import makers

__all__ = ["running"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, maker in enumerate((makers.stamp, makers.trident, makers.clam)):
        maker(tmp_path / f"case {seed}.h5", seed=seed)
    return tmp_path


def test_bringing_from_python(running: Running, folder: Path) -> None:
    bag = running.client.bags.bring(folder / "case 0.h5", "external:a", patient="P7", series_uid="s0")
    assert (bag.encoder, bag.series_uid, bag.n_rows, bag.dim) == ("external:a", "s0", makers.N, makers.D)
    assert running.client.bags.load(bag.bag_id).features.tolist() == makers.values(0)[0].tolist()
    assert running.client.bags.bring(folder / "case 0.h5", "external:a", series_uid="s0") == bag
    with pytest.raises(Conflict) as caught:
        running.client.bags.bring(folder / "case 1.h5", "external:a", series_uid="s0")
    assert caught.value.code == "bag_conflict"
    (folder / "no.h5").write_bytes(b"not HDF5")
    with pytest.raises(InvalidRequest) as refused:
        running.client.bags.bring(folder / "no.h5", "external:a")
    assert refused.value.code == "bad_foreign_bag"
    with pytest.raises(PathNotFound):
        running.client.bags.bring(folder / "nowhere.h5", "external:a")


def test_the_command(running: Running, shell: Callable[..., Run], folder: Path) -> None:
    ask = ("--url", running.url, "--api-key", KEY, "bags", "import")
    files = sorted(str(path) for path in folder.glob("*.h5"))
    (folder / "slide.csv").write_text("PATIENT,FILENAME\nA,case 0.h5\nB,case 1.h5\nB,case 2.h5\n")
    done = shell(*ask, *files, "--encoder", "external:b", "--table", str(folder / "slide.csv"), "--json")
    assert done.status == 0, done.err
    items = json.loads(done.out)["items"]
    assert [item["file"] for item in items] == files
    patients = [item["patient"] for item in items]
    assert patients[1] == patients[2] != patients[0]
    (folder / "zz.h5").write_bytes(b"not HDF5")
    some = shell(*ask, *files, str(folder / "zz.h5"), "--encoder", "external:b")
    assert some.status == 1
    assert "case 2.h5" in some.out
    assert "zz.h5 refused, bad_foreign_bag" in some.err
    unknown = shell(*ask, str(folder / "zz.h5"), "--encoder", "external:b", "--table", str(folder / "slide.csv"))
    assert (unknown.status, "no patient" in unknown.err) == (1, True)
    wrong = shell(*ask, files[0], "--encoder", "uni")
    assert (wrong.status, "encoder" in wrong.err) == (1, True)


def test_series_from_names(running: Running, shell: Callable[..., Run], folder: Path) -> None:
    (folder / "case 0.h5").rename(folder / "1.2.840.7.h5")
    ask = ("--url", running.url, "--api-key", KEY, "bags", "import", str(folder / "1.2.840.7.h5"))
    done = shell(*ask, "--encoder", "external:c", "--series-from-names", "--json")
    assert json.loads(done.out)["items"][0]["series_uid"] == "1.2.840.7"
