"""Files as STAMP, TRIDENT and CLAM write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

N, D = 12, 5


def values(seed: int = 0, n: int = N, dim: int = D) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, dim)).astype(np.float32)
    return rows, np.stack([np.arange(n) * 256.0, np.arange(n) % 3 * 256.0], axis=1).astype(np.float32)


def stamp(path: Path, *, seed: int = 0, dtype: Any = np.float32, **options: Any) -> NDArray[np.float32]:
    rows, coords = values(seed)
    with h5py.File(path, "w", **options) as file:
        file["feats"], file["coords"] = rows.astype(dtype), coords
        file.attrs.update({"feat_type": "tile", "unit": "um", "tile_size_um": 256.0, "tile_size_px": 224})
        file.attrs["stamp_version"] = "2.5.0"
        file.attrs["extractor"] = "uni2"
    return rows.astype(dtype).astype(np.float32)


def trident(path: Path, *, seed: int = 0) -> NDArray[np.float32]:
    rows, coords = values(seed)
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=rows, chunks=(4, D), maxshape=(None, D), compression="gzip")
        made = file.create_dataset("coords", data=coords.astype(np.int64), chunks=(4, 2), maxshape=(None, 2))
        file["features"].attrs.update({"name": "slide", "savetodir": "/data/out"})
        made.attrs.update({"patch_size": 512, "patch_size_level0": 1024, "overlap": 0})
    return rows


def clam(path: Path, *, seed: int = 0) -> NDArray[np.float32]:
    rows, coords = values(seed)
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=rows, maxshape=(None, D), chunks=(1, D))
        file.create_dataset("coords", data=coords.astype(np.int32), maxshape=(None, 2), chunks=(1, 2))
    return rows


def checksummed(path: Path, *, seed: int = 0) -> NDArray[np.float32]:
    """A file of which every byte that matters has a checksum: metadata by its format, values by a filter."""
    rows, coords = values(seed)
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("feats", data=rows, chunks=(4, D), fletcher32=True)
        file.create_dataset("coords", data=coords, chunks=(4, 2), fletcher32=True)
        file.attrs["feat_type"] = "tile"
        file.attrs["tile_size_um"] = 256.0
    return rows
