"""What the known layouts call rows, coordinates and slices. Runs in the confined process alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from slicebank_store.bags.foreign.limits import ForeignLimits
from slicebank_store.bags.foreign.structure import Refused, check_written
from slicebank_store.bags.format import SCAN_INDEX
from slicebank_store.types import JSON, BagLevel

# STAMP, and what CLEAR took over from it; TRIDENT and CLAM.
_ROWS = ("feats", "features")
# What slicebank's own bags say of their slices; taken as a whole or not at all.
_SLICES = ("slice_index", "slice_number", "z_mm", "instance_number", "sop_instance_uid", "frame_number")
_BLOCK_BYTES = 16 << 20
_MAX_ATTRIBUTE_BYTES = 4096
_MAX_UID = 128

Write = Callable[[bytes], object]


def copy_values(file: h5py.File, limits: ForeignLimits, write: Write) -> JSON:
    """Writes rows, float32 (N, D), then coordinates, float32 (N, 2), and gives what else is known.

    Args:
        file: checked by `check_structure`.
        limits: bounds.
        write: takes bytes, little-endian.

    Raises:
        Refused: no known layout, or values that no reader could use.
    """
    rows = _rows(file, limits)
    single = rows.ndim == 1
    n_rows, dim = (1, int(rows.shape[0])) if single else (int(rows.shape[0]), int(rows.shape[1]))
    level = BagLevel.SCAN if single or _text(file, "feat_type") in ("slide", "patient") else BagLevel.SLICE
    if level is BagLevel.SCAN and n_rows != 1:
        raise Refused(f"the file says that it holds one row of a whole scan, and has {n_rows}")
    coords = _coords(file, n_rows, level)
    _copy(rows, "the rows", dim, write)
    if coords is None:
        write(np.zeros((1, 2), "<f4").tobytes())
    else:
        _copy(coords, "the coordinates", 2, write)
    return {
        "n_rows": n_rows,
        "dim": dim,
        "level": level.value,
        "tile_size_um": _number(file, "tile_size_um"),
        "slices": None if level is BagLevel.SCAN else _slices(file, n_rows, limits),
    }


def _rows(file: h5py.File, limits: ForeignLimits) -> h5py.Dataset:
    found = [file[name] for name in _ROWS if name in file]
    if not found or not all(isinstance(each, h5py.Dataset) for each in found):
        raise Refused("the file has no dataset `feats` (STAMP) or `features` (TRIDENT, CLAM) at its root")
    if len({h5py.h5o.get_info(each.id).addr for each in found}) > 1:
        raise Refused("`feats` and `features` are two datasets; leave the one that is meant")
    rows = found[0]
    if rows.ndim not in (1, 2) or 0 in rows.shape:
        raise Refused(f"the rows have the shape {rows.shape}; N x D is taken, N and D at least 1")
    if rows.dtype.kind != "f" or rows.dtype.itemsize not in (2, 4, 8):
        raise Refused(f"the rows are of the type {rows.dtype.str}; float16, float32 or float64 are taken")
    n_rows, dim = (1, rows.shape[0]) if rows.ndim == 1 else rows.shape
    if n_rows > limits.rows or dim > limits.dim or n_rows * dim * 4 > limits.values_bytes:
        raise Refused(
            f"the file has {n_rows} rows of {dim} numbers; at most {limits.rows} of {limits.dim}, and {limits.values_bytes} bytes, are taken"
        )
    check_written(rows)
    return rows


def _coords(file: h5py.File, n_rows: int, level: BagLevel) -> h5py.Dataset | None:
    if level is BagLevel.SCAN:
        return None
    coords = file.get("coords")
    if not isinstance(coords, h5py.Dataset):
        raise Refused("the file has no dataset `coords` at its root: known layouts say where each row lies")
    if coords.shape != (n_rows, 2) or coords.dtype.kind not in "fiu" or coords.dtype.itemsize > 8:
        raise Refused(
            f"the coordinates are of the type {coords.dtype.str} and of the shape {coords.shape}; numbers, {n_rows} x 2, are taken"
        )
    check_written(coords)
    return coords


def _copy(dataset: h5py.Dataset, what: str, dim: int, write: Write) -> None:
    """Copies a dataset block by block, whole chunks at a time, as finite float32."""
    n_rows = 1 if dataset.ndim == 1 else dataset.shape[0]
    chunk = n_rows if dataset.chunks is None else dataset.chunks[0]
    step = max(1, _BLOCK_BYTES // (dim * 8) // max(1, chunk)) * max(1, chunk) if dataset.ndim == 2 else 1
    for start in range(0, n_rows, step):
        block: NDArray[Any] = dataset[...] if dataset.ndim == 1 else dataset[start : start + step]
        with np.errstate(over="ignore"):
            values = block.astype("<f4")
        if not np.isfinite(values).all():
            raise Refused(f"{what} hold NaN, an infinity, or a number beyond float32")
        write(values.tobytes())


def _slices(file: h5py.File, n_rows: int, limits: ForeignLimits) -> JSON | None:
    """The slices that the rows belong to, where the file was a bag of slicebank; else None."""
    if not all(isinstance(file.get(name), h5py.Dataset) for name in _SLICES):
        return None
    for name in _SLICES:
        dataset = file[name]
        kinds = "O" if name == "sop_instance_uid" else "fiu"
        if dataset.ndim != 1 or dataset.size > max(limits.slices, n_rows) or dataset.dtype.kind not in kinds:
            raise Refused(f"the dataset `{name}` is not one of slicebank's; leave it out or make it so")
        check_written(dataset)
    of_row = file["slice_index"][...].astype(np.int64)
    numbers = file["slice_number"][...].astype(np.int64)
    if not len(numbers) and (of_row == SCAN_INDEX).all():  # made elsewhere before it was a bag of slicebank
        return None
    z_mm = file["z_mm"][...].astype(np.float64)
    instances = file["instance_number"][...].astype(np.int64)
    frames = file["frame_number"][...].astype(np.int64)
    uids = [_uid(value) for value in file["sop_instance_uid"][...]]
    lengths = {len(numbers), len(z_mm), len(instances), len(frames), len(uids)}
    fits = (
        len(of_row) == n_rows
        and lengths == {len(numbers)}
        and 0 < len(numbers) <= limits.slices
        and bool((np.diff(numbers) > 0).all())
        and numbers[0] >= 0
        and numbers[-1] < limits.slices
        and bool(np.isin(of_row, numbers).all())
        and bool(np.isfinite(z_mm).all())
        and bool((np.abs(instances) < 2**31).all() and (np.abs(frames) < 2**31).all())
    )
    if not fits:
        raise Refused("what the file says of its slices does not agree; leave those datasets out or mend them")
    return {
        "slice_index": of_row.tolist(),
        "slice_number": numbers.tolist(),
        "z_mm": z_mm.tolist(),
        "instance_number": instances.tolist(),
        "sop_instance_uid": uids,
        "frame_number": frames.tolist(),
    }


def _uid(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    if len(text) > _MAX_UID:
        raise Refused("a SOPInstanceUID of the file is too long")
    return text


def _attribute(file: h5py.File, name: str) -> Any:
    encoded = name.encode()
    if not h5py.h5a.exists(file.id, encoded):
        return None
    if h5py.h5a.open(file.id, encoded).get_storage_size() > _MAX_ATTRIBUTE_BYTES:
        raise Refused(f"the attribute {name} is too long")
    return file.attrs[name]


def _text(file: h5py.File, name: str) -> str:
    value = _attribute(file, name)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _number(file: h5py.File, name: str) -> float | None:
    value = _attribute(file, name)
    if isinstance(value, int | float | np.integer | np.floating) and 0 < float(value) < 1e12:
        return float(value)
    return None
