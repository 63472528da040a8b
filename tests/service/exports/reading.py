"""Exports as a client has them: unpacked, with the readers of others written down again from INTEROP's rules."""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Unpacked:
    """The files of an archive below a folder, in the order in which they came."""

    root: Path
    names: list[str]

    def table(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((self.root / name).read_text())))

    def header(self, name: str) -> str:
        return (self.root / name).read_text().splitlines()[0]


def unpack(response: httpx.Response, root: Path) -> Unpacked:
    """Unpacks an answer and checks every file against the archive's own checksums."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-tar"
    names = []
    with tarfile.open(fileobj=io.BytesIO(response.content)) as archive:
        for member in archive:
            assert member.isreg()
            names.append(member.name)
            archive.extract(member, root, filter="data")
    assert names[-1] == "SHA256SUMS"
    sums = [line.split("  ") for line in (root / "SHA256SUMS").read_text().splitlines()]
    assert [name for _, name in sums] == names[:-1]
    for digest, name in sums:
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest
    return Unpacked(root, names)


def stamp_features(folder: Path, path: Path) -> NDArray[np.float32]:
    """Reads as STAMP 2.5 does: see `BagDataset`, `get_coords` and `detect_feature_type` there."""
    assert path.is_relative_to(folder)
    kinds = set()
    for found in folder.rglob("*.h5"):
        with h5py.File(found) as file:
            assert "encoder" not in file.attrs
            assert "stamp_version" not in file.attrs
            kinds.add(str(file.attrs["feat_type"]))
    assert kinds in ({"tile"}, {"patient"})
    with h5py.File(path) as file:
        assert float(file.attrs["tile_size_um"]) > 0
        assert int(file.attrs["tile_size_px"]) == file["coords"].attrs["patch_size"] > 0
        assert file.attrs["unit"] == "um"
        coords = file["coords"][:]
        assert coords.dtype == np.float32
        assert coords.shape == (len(file["feats"]), 2)
        assert file["feats"].attrs["encoder"]
        return np.asarray(file["feats"][()])


def clam_features(path: Path) -> dict[str, Any]:
    """Reads as TRIDENT and CLAM do: `features` and `coords`, never cast."""
    with h5py.File(path) as file:
        assert file["features"].dtype == np.float32
        assert file["features"].id == file["feats"].id, "a second copy of the rows"
        attrs = dict(file["coords"].attrs)
        assert {"patch_size", "patch_size_level0", "level0_magnification", "target_magnification"} <= set(attrs)
        assert {"overlap", "name", "savetodir", "level0_width", "level0_height", "patch_level"} <= set(attrs)
        return {"features": file["features"][:], "coords": file["coords"][:], "attrs": attrs}
