"""Rows of a bag as Parquet: one table row a bag row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slicebank_store.bags import Bag

_NONE = -1


def write_rows(
    bag: Bag,
    target: Path,
    *,
    patient: str,
    series_uid: str,
    bag_id: str,
    attention: Mapping[int, float] | None = None,
    with_attention: bool = False,
) -> None:
    """Writes one bag; the same bag gives the same bytes.

    Columns: `bag_id`, `series_uid`, `patient`; `row` (int32, 0-based); `slice` (int32, 0 is the most inferior), `window` (its name),
    `z_mm` (float64, along the slice normal), `instance_number`, `sop_instance_uid`, each null where the bag does not know it;
    `features`, a list of D float32; `attention` (float64, sums to 1 over the rows a head read) where it is asked for.

    Args:
        bag: its content.
        target: the file to write.
        patient: pseudonym.
        series_uid: SeriesInstanceUID.
        bag_id: id.
        attention: weight by row; None where the head has not answered about the bag.
        with_attention: whether there is an attention column, the same in every file of an export.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    n_rows, dim = bag.features.shape
    place = {int(number): at for at, number in enumerate(bag.slice_numbers)}
    at = [place.get(int(index)) for index in bag.slice_index]
    instances = [None if where is None else int(bag.instance_number[where]) for where in at]
    z_mm = [
        float(bag.coords[row, 0]) / 1000 if where is None else float(bag.z_mm[where]) for row, where in enumerate(at)
    ]
    columns: dict[str, pa.Array] = {
        "bag_id": pa.array([bag_id] * n_rows).dictionary_encode(),
        "series_uid": pa.array([series_uid] * n_rows).dictionary_encode(),
        "patient": pa.array([patient] * n_rows).dictionary_encode(),
        "row": pa.array(np.arange(n_rows, dtype=np.int32)),
        "slice": pa.array([None if index == _NONE else int(index) for index in bag.slice_index], pa.int32()),
        "window": pa.array(
            [None if index == _NONE else bag.windows[int(index)].name for index in bag.window_index], pa.string()
        ),
        "z_mm": pa.array(z_mm, pa.float64()),
        "instance_number": pa.array([None if number == _NONE else number for number in instances], pa.int32()),
        "sop_instance_uid": pa.array(
            [None if where is None else bag.sop_instance_uid[where] or None for where in at], pa.string()
        ),
        "features": pa.FixedSizeListArray.from_arrays(pa.array(bag.features.reshape(-1)), dim),
    }
    if with_attention:
        weights = attention or {}
        columns["attention"] = pa.array([weights.get(row) for row in range(n_rows)], pa.float64())
    pq.write_table(pa.table(columns), target, compression="zstd")
