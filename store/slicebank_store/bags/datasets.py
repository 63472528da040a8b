"""The datasets and attributes of a bag file, as every writer of bags writes them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from slicebank_store.bags.format import (
    CHUNK_ROWS,
    FORMAT,
    MICROMETRES_PER_MM,
    NO_INSTANCE_NUMBER,
    BagHeader,
    SkippedSlice,
)
from slicebank_store.types import JSON


def write_rows(file: h5py.File, header: BagHeader, rows: NDArray[np.float32], coords: NDArray[np.float32]) -> None:
    """Writes rows (N, D) and their coordinates (N, 2), with what foreign readers ask of both."""
    feats = file.create_dataset("feats", data=rows, chunks=(min(len(rows), CHUNK_ROWS), rows.shape[1]))
    feats.attrs.update({"name": header.name, "encoder": header.recipe.encoder, "savetodir": ""})
    file["features"] = feats
    file.create_dataset("coords", data=coords).attrs.update(
        {
            "patch_size": header.recipe.size,
            "patch_size_level0": header.rows,
            "level0_magnification": 1,
            "target_magnification": 1,
            "overlap": 0,
            "name": header.name,
            "savetodir": "",
            "level0_width": header.columns,
            "level0_height": header.rows,
            "patch_level": 0,
        }
    )


def write_slices(file: h5py.File, header: BagHeader, kept: NDArray[np.int32]) -> None:
    """Writes what is known of each slice that is in the bag; `kept` holds their places in the header."""
    slices = [header.slices[index] for index in kept]
    numbers = [NO_INSTANCE_NUMBER if item.instance_number is None else item.instance_number for item in slices]
    file.create_dataset("slice_number", data=kept)
    file.create_dataset("z_mm", data=np.array([item.z_mm for item in slices], np.float64))
    file.create_dataset("instance_number", data=np.array(numbers, np.int32))
    file.create_dataset("sop_instance_uid", data=[item.sop_instance_uid for item in slices], dtype=h5py.string_dtype())
    file.create_dataset("frame_number", data=np.array([item.frame_number for item in slices], np.int32))


def write_attributes(file: h5py.File, header: BagHeader, numerics: JSON, skipped: Sequence[SkippedSlice]) -> None:
    """Writes the root attributes."""
    recipe = header.recipe
    described: dict[str, Any] = {
        # What foreign readers ask for; `encoder` must not stand here, or STAMP takes the bag for a slide's.
        "feat_type": "tile",
        "unit": "um",
        "tile_size_um": float(header.field_of_view_mm * MICROMETRES_PER_MM),
        "tile_size_px": recipe.size,
        "extractor": recipe.encoder,
        # What slicebank asks for.
        "slicebank_format": FORMAT,
        "level": header.level.value,
        "recipe": json.dumps(recipe.as_dict()),
        "recipe_digest": recipe.digest,
        "weights_digest": recipe.weights_digest,
        "content_digest": header.content_digest,
        "series_uid": header.series_uid,
        "revision": header.revision,
        "stack": header.stack,
        "windows": json.dumps(recipe.as_dict()["windows"]),
        "geometry": json.dumps(header.geometry),
        "rescale": json.dumps(header.rescale),
        "numerics": json.dumps(numerics),
        "skipped": json.dumps([item.as_dict() for item in skipped]),
        "software": header.software,
        "created_at": datetime.fromtimestamp(header.created_at, UTC).isoformat(timespec="milliseconds"),
    }
    file.attrs.update(described)


def sync(path: Path) -> tuple[str, int]:
    """Flushes a file to disk; its SHA-256, hex, and its size in bytes."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, os.fstat(file.fileno()).st_size
