"""Bags as the REST interface shows them, and their arrays as npz."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from slicebank_service.answers.times import iso
from slicebank_store.catalogue import BagRecord


class BagView(BaseModel):
    """A bag."""

    bag_id: str
    series_uid: str
    study_uid: str
    patient: str
    encoder: str
    recipe: dict[str, Any]
    recipe_digest: str
    weights_digest: str
    content_digest: str
    revision: int
    stack: int
    level: str
    n_rows: int
    n_slices: int
    dim: int
    dtype: str
    windows: list[dict[str, Any]]
    skipped: list[dict[str, Any]]
    sha256: str
    size_bytes: int
    created_at: str


class BagPage(BaseModel):
    """One page of bags."""

    items: list[BagView]
    next_cursor: str | None


def bag_view(bag: BagRecord) -> BagView:
    """Shows a bag."""
    return BagView(
        bag_id=bag.bag_id,
        series_uid=bag.series_uid,
        study_uid=bag.study_uid,
        patient=bag.patient,
        encoder=bag.encoder,
        recipe=bag.recipe,
        recipe_digest=bag.recipe_digest,
        weights_digest=bag.weights_digest,
        content_digest=bag.content_digest,
        revision=bag.revision,
        stack=bag.stack,
        level=bag.level.value,
        n_rows=bag.n_rows,
        n_slices=bag.n_slices,
        dim=bag.dim,
        dtype=bag.dtype,
        windows=bag.windows,
        skipped=bag.skipped,
        sha256=bag.sha256,
        size_bytes=bag.size_bytes,
        created_at=iso(bag.created_at),
    )


def write_npz(bag: BagRecord, source: Path, target: Path) -> None:
    """Writes a bag's arrays as an npz that loads without pickle; the same bag gives the same bytes.

    The names are those of the HDF5's datasets.

    Args:
        bag: its row, which becomes the JSON text `bag`.
        source: the HDF5 file.
        target: the file to write.
    """
    import numpy as np

    from slicebank_store.bags import read_bag

    content = read_bag(source)
    arrays: dict[str, Any] = {
        "feats": content.features,
        "coords": content.coords,
        "slice_index": content.slice_index,
        "window_index": content.window_index,
        "slice_number": content.slice_numbers,
        "z_mm": content.z_mm,
        "instance_number": content.instance_number,
        "frame_number": content.frame_number,
        "sop_instance_uid": np.array(content.sop_instance_uid, dtype=np.str_),
        "bag": np.array(json.dumps(bag_view(bag).model_dump(), sort_keys=True)),
    }
    with target.open("wb") as output:
        np.savez(output, allow_pickle=False, **arrays)
