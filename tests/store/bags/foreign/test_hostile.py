"""Files made to make a reader do what it must not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from slicebank_store.bags.foreign import ForeignLimits, read_foreign
from slicebank_store.bags.foreign.reading import TOLD, VALUES, judge
from slicebank_store.errors import BadForeignBag

from . import makers

Make = Callable[[Path], None]


def refusal(path: Path, limits: ForeignLimits | None = None) -> str:
    folder = path.parent / "values"
    folder.mkdir()
    with pytest.raises(BadForeignBag) as caught:
        read_foreign(path, folder, limits or ForeignLimits())
    return str(caught.value)


def with_features(path: Path, make: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "w") as file:
        file["coords"] = makers.values()[1]
        make(file)


def soft_link(path: Path) -> None:
    with_features(path, lambda file: file.__setitem__("feats", h5py.SoftLink("/coords")))


def dangling_link_beside(path: Path) -> None:
    makers.stamp(path)
    with h5py.File(path, "a") as file:
        file["group/other"] = h5py.SoftLink("/nowhere")


def external_link(path: Path) -> None:
    makers.stamp(path.with_suffix(".other"))
    with_features(
        path, lambda file: file.__setitem__("feats", h5py.ExternalLink(str(path.with_suffix(".other")), "feats"))
    )


def external_storage(path: Path) -> None:
    secret = path.with_suffix(".secret")
    secret.write_bytes(bytes(makers.N * makers.D * 4))
    with_features(
        path,
        lambda file: file.create_dataset(
            "feats", (makers.N, makers.D), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
        ),
    )


def virtual(path: Path) -> None:
    makers.stamp(path.with_suffix(".other"))
    layout = h5py.VirtualLayout((makers.N, makers.D), "f4")
    layout[:] = h5py.VirtualSource(str(path.with_suffix(".other")), "feats", (makers.N, makers.D))
    with_features(path, lambda file: file.create_virtual_dataset("feats", layout))


def unknown_filter(path: Path) -> None:
    def make(file: h5py.File) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((makers.N, makers.D))
        plist.set_filter(32_008, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((makers.N, makers.D))
        h5py.h5d.create(file.id, b"feats", h5py.h5t.IEEE_F32LE, space, plist)

    with_features(path, make)


def named_type(path: Path) -> None:
    makers.stamp(path)
    with h5py.File(path, "a") as file:
        file["type"] = np.dtype("f4")


def never_written(path: Path) -> None:
    with_features(path, lambda file: file.create_dataset("feats", (2_000, 4_000), "f4", chunks=(10, 4_000)))


def never_written_contiguous(path: Path) -> None:
    with_features(path, lambda file: file.create_dataset("feats", (makers.N, makers.D), "f4"))


def huge_chunk(path: Path) -> None:
    with_features(
        path,
        lambda file: file.create_dataset(
            "feats", (makers.N, makers.D), "f4", chunks=(100_000, 1_000), maxshape=(None, None)
        ),
    )


def promised(path: Path) -> None:
    with_features(path, lambda file: file.create_dataset("feats", (10**9, 10**6), "f4", chunks=(1, 10**6)))


def bomb(path: Path) -> None:
    """128 MB of zeros in 128 kB."""
    with_features(
        path,
        lambda file: file.create_dataset(
            "feats", data=np.zeros((32, 1_000_000), "f4"), chunks=(1, 1_000_000), compression=9
        ),
    )


def many_objects(path: Path) -> None:
    makers.stamp(path)
    with h5py.File(path, "a") as file:
        for number in range(1_100):
            file.create_group(f"g{number}")


def deep(path: Path) -> None:
    makers.stamp(path)
    with h5py.File(path, "a") as file:
        file.create_group("/".join("g" * 30))


def not_finite(value: float) -> Make:
    def make(path: Path) -> None:
        rows = makers.values()[0].astype("f8")
        rows[3, 2] = value
        with_features(path, lambda file: file.__setitem__("feats", rows))

    return make


def two_datasets(path: Path) -> None:
    makers.stamp(path)
    with h5py.File(path, "a") as file:
        file["features"] = makers.values(1)[0]


def of_type(value: object) -> Make:
    return lambda path: with_features(path, lambda file: file.__setitem__("feats", value))


def coords_of(value: object) -> Make:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["feats"] = makers.values()[0]
            if value is not None:
                file["coords"] = value

    return make


def long_attribute(path: Path) -> None:
    makers.stamp(path)
    with h5py.File(path, "a") as file:
        file.attrs["feat_type"] = np.bytes_(b"x" * 60_000)


def lying_slices(path: Path) -> None:
    makers.stamp(path)
    with h5py.File(path, "a") as file:
        file["slice_index"] = np.arange(makers.N) + 5
        for name in ("slice_number", "z_mm", "instance_number", "frame_number"):
            file[name] = np.arange(3)
        file["sop_instance_uid"] = ["1", "2", "3"]


def cut(path: Path) -> None:
    makers.stamp(path)
    os.truncate(path, path.stat().st_size // 2)


REFUSED: list[tuple[Make, str]] = [
    (soft_link, "link"),
    (dangling_link_beside, "link"),
    (external_link, "link"),
    (external_storage, "another file"),
    (virtual, "virtual"),
    (unknown_filter, "filter"),
    (named_type, "named datatype"),
    (never_written, "never written"),
    (never_written_contiguous, "never written"),
    (huge_chunk, "chunk"),
    (promised, "at most"),
    (bomb, "at most"),
    (many_objects, "objects"),
    (deep, "deep"),
    (not_finite(np.nan), "NaN"),
    (not_finite(-np.inf), "infinity"),
    (not_finite(1e300), "float32"),
    (two_datasets, "two datasets"),
    (of_type(np.zeros((12, 5), "i4")), "float"),
    (of_type(np.zeros((12, 5), "c8")), "float"),
    (of_type(np.zeros((12, 5, 1), "f4")), "shape"),
    (of_type(np.zeros((0, 5), "f4")), "shape"),
    (of_type(np.zeros(12, [("x", "f4")])), "float"),
    (of_type([b"text"] * 12), "float"),
    (of_type(np.float32(1)), "shape"),
    (lambda path: with_features(path, lambda file: file.create_group("feats")), "no dataset"),
    (lambda path: with_features(path, lambda file: None), "no dataset"),
    (coords_of(None), "coords"),
    (coords_of(np.zeros((12, 3), "f4")), "coordinates"),
    (coords_of(np.zeros((11, 2), "f4")), "coordinates"),
    (coords_of(np.full((12, 2), np.nan)), "coordinates"),
    (long_attribute, "attribute"),
    (lying_slices, "slices"),
    (cut, "HDF5"),
    (lambda path: path.write_bytes(b""), "HDF5"),
    (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)), "HDF5"),
    (lambda path: path.write_bytes(b"PK\x03\x04" * 100), "HDF5"),
]  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """What each of the files came to."""
    root = tmp_path_factory.mktemp("hostile")
    folders = []
    for number, (make, _) in enumerate(REFUSED):
        folder = root / str(number)
        folder.mkdir()
        make(folder / "file")
        folders.append(folder)
    subprocess.run([sys.executable, "-m", "tests.store.bags.foreign.forks", *map(str, folders)], check=True)
    found = []
    for folder in folders:
        with pytest.raises(BadForeignBag) as caught:
            judge(int((folder / "status").read_text()), folder, ForeignLimits())
        found.append((folder, str(caught.value)))
    return found


@pytest.mark.parametrize(("number", "said"), [(number, said) for number, (_, said) in enumerate(REFUSED)])
def test_what_is_refused_and_why(judged: list[tuple[Path, str]], number: int, said: str) -> None:
    folder, detail = judged[number]
    assert said in detail
    assert str(folder) not in detail


def test_the_same_through_a_process_of_its_own(tmp_path: Path) -> None:
    external_link(tmp_path / "a.h5")
    assert "link" in refusal(tmp_path / "a.h5")


def test_bounds_of_the_process(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("feats", data=np.zeros((2_000, 8_000), "f4"), chunks=(2_000, 8_000), compression=1)
        file["coords"] = np.zeros((2_000, 2))
    roomy = ForeignLimits()
    (tmp_path / "roomy").mkdir()
    assert read_foreign(tmp_path / "a.h5", tmp_path / "roomy", roomy).features.shape == (2_000, 8_000)
    detail = refusal(tmp_path / "a.h5", replace(roomy, memory_bytes=1))
    assert "memory" in detail or "status" in detail


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    makers.stamp(tmp_path / "a.h5")
    os.mkfifo(tmp_path / "pipe")  # opening it waits for ever
    assert "more than 2 s" in refusal(tmp_path / "pipe", replace(ForeignLimits(), wall_s=2))


SEALED = """
import json, os, socket, sys
from slicebank_store.bags.foreign.limits import ForeignLimits
from slicebank_store.bags.foreign.process import confine, seal
confine(ForeignLimits()); seal()
def can(act):
    try:
        act()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "can"
print(json.dumps({
    "file": can(lambda: open("/etc/hostname")),
    "socket": can(lambda: socket.socket()),
    "pipe": can(os.pipe),
    "memory": can(lambda: bytearray(4 << 30)),
}))
"""


def test_a_sealed_process_reaches_nothing() -> None:
    """No file, no network, no memory beyond the bound, whatever HDF5 could be made to do."""
    done = subprocess.run([sys.executable, "-c", SEALED], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == {
        "file": "OSError",
        "socket": "OSError",
        "pipe": "OSError",
        "memory": "MemoryError",
    }


@pytest.mark.parametrize(
    ("status", "told", "values"),
    [
        (0, b"", b""),
        (0, b"[]", b""),
        (0, b'{"n_rows": 2, "dim": 2, "level": "slice", "tile_size_um": null, "slices": null}', bytes(31)),
        (0, b'{"n_rows": 2, "dim": 2, "level": "slice", "tile_size_um": null, "slices": null}', np.full(8, np.nan, "<f4").tobytes()),
        (0, b'{"n_rows": -2, "dim": 2, "level": "slice", "tile_size_um": null, "slices": null}', bytes(32)),
        (0, b'{"n_rows": true, "dim": 2, "level": "slice", "tile_size_um": null, "slices": null}', bytes(16)),
        (0, b'{"n_rows": 2, "dim": 2, "level": "planet", "tile_size_um": null, "slices": null}', bytes(32)),
        (0, b'{"n_rows": 2, "dim": 2, "level": "scan", "tile_size_um": null, "slices": null}', bytes(32)),
        (0, b'{"n_rows": 2, "dim": 2, "level": "slice", "tile_size_um": "x", "slices": null}', bytes(32)),
        (0, b'{"n_rows": 2, "dim": 2, "level": "slice", "tile_size_um": 1.0, "slices": {"slice_number": [0], "slice_index": [0, 1]}}', bytes(32)),
        (0, b'{"n_rows": 1, "dim": 2, "level": "slice", "tile_size_um": 1.0, "slices": {"slice_number": [0], "slice_index": [0], "z_mm": [0.0], "instance_number": [1], "sop_instance_uid": ["../x"], "frame_number": [1]}}', bytes(16)),
        (3, b'{"refused": 7}', b""),
        (-11, b"", b""),
        (1, b"Traceback", b""),
    ],
)  # fmt: skip
def test_a_process_that_was_taken_over_is_not_believed(tmp_path: Path, status: int, told: bytes, values: bytes) -> None:
    (tmp_path / TOLD).write_bytes(told)
    (tmp_path / VALUES).write_bytes(values)
    with pytest.raises(BadForeignBag):
        judge(status, tmp_path, ForeignLimits())
