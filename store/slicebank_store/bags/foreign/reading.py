"""Reading a foreign file through the confined process, believing nothing of what that says."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_store.bags.foreign.limits import REFUSED, ForeignLimits
from slicebank_store.bags.format import SCAN_INDEX, BagSlice
from slicebank_store.errors import BadForeignBag
from slicebank_store.types import JSON, BagLevel

VALUES, TOLD = "values", "told"
"""Files of what the process writes to stdout and to stderr."""

_MAX_TOLD_BYTES = 64 << 20
_MAX_DETAIL = 300
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}|")


@dataclass(frozen=True, slots=True, eq=False)
class ForeignBag:
    """What a foreign file held.

    Attributes:
        features: float32 (N, D), finite.
        coords: float32 (N, 2), as the file had them; zeros for the one row of a scan.
        slice_index: int32 (N): slice of the stack; -1 where the file does not say.
        slice_number: int32 (S): the slices, ascending; none where the file does not say.
        slices: S of them.
        tile_size_um: edge of what a row is of; None where the file does not say.
        digest: SHA-256 over all values, 64 hex digits.
    """

    features: NDArray[np.float32]
    coords: NDArray[np.float32]
    slice_index: NDArray[np.int32]
    slice_number: NDArray[np.int32]
    slices: tuple[BagSlice, ...]
    level: BagLevel
    tile_size_um: float | None
    digest: str


def read_foreign(path: Path, folder: Path, limits: ForeignLimits) -> ForeignBag:
    """Reads a foreign file; nothing of this process ever opens it.

    Args:
        path: the file.
        folder: where the values lie while the result is used.
        limits: bounds.

    Raises:
        BadForeignBag: it is not taken; the sentence says why.
    """
    with (folder / VALUES).open("xb") as stdout, (folder / TOLD).open("xb") as stderr:
        status = _run(path, folder, limits, stdout.fileno(), stderr.fileno())
    return judge(status, folder, limits)


def judge(status: int, folder: Path, limits: ForeignLimits) -> ForeignBag:
    """What came of a confined process.

    Args:
        status: its exit status; negative where a signal ended it.
        folder: holds what it wrote.
        limits: bounds.

    Raises:
        BadForeignBag: the file is not taken.
    """
    answer = _told(folder / TOLD)
    if status == REFUSED and isinstance(answer.get("refused"), str):
        detail = "".join(letter for letter in answer["refused"] if letter.isprintable())[:_MAX_DETAIL]
        raise BadForeignBag(f"The file is not taken as a bag: {detail}.")
    if status != 0:
        raise BadForeignBag(
            f"The file is not taken as a bag: reading it ended with status {status}, as damaged files and those that take too much memory or "
            "time do."
        )
    try:
        return _checked(answer, folder / VALUES, limits)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadForeignBag("The file is not taken as a bag: what was read of it does not agree.") from error


def _run(path: Path, folder: Path, limits: ForeignLimits, stdout: int, stderr: int) -> int:
    command = [sys.executable, "-I", "-W", "ignore", "-m", "slicebank_store.bags.foreign.process", str(path)]
    environment = {
        # No filter is looked for on disk, whatever the file names.
        "HDF5_PLUGIN_PRELOAD": "::",
        "HDF5_PLUGIN_PATH": "",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **{name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ},
    }
    try:
        return subprocess.run(  # noqa: S603 - our own module, and a path that we named
            [*command, json.dumps(limits.as_dict())],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=folder,
            env=environment,
            timeout=limits.wall_s,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise BadForeignBag(f"The file is not taken as a bag: reading it took more than {limits.wall_s} s.") from error


def _told(path: Path) -> JSON:
    """The last line of what the process said."""
    if path.stat().st_size > _MAX_TOLD_BYTES:
        return {}
    lines = path.read_bytes().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _checked(answer: JSON, values: Path, limits: ForeignLimits) -> ForeignBag:
    n_rows, dim = _count(answer["n_rows"], limits.rows), _count(answer["dim"], limits.dim)
    if n_rows * dim * 4 > limits.values_bytes or values.stat().st_size != n_rows * (dim + 2) * 4:
        raise ValueError
    level = BagLevel(answer["level"])
    flat = np.memmap(values, "<f4", mode="r")
    features, coords = flat[: n_rows * dim].reshape(n_rows, dim), flat[n_rows * dim :].reshape(n_rows, 2)
    size = answer["tile_size_um"]
    if size is not None and not (isinstance(size, float) and 0 < size < 1e12):
        raise ValueError
    slice_index, slice_number, slices = _slices(answer["slices"], n_rows, limits)
    if level is BagLevel.SCAN and (n_rows != 1 or slices):
        raise ValueError
    digest = hashlib.sha256(f"slicebank foreign 1 {n_rows} {dim} {level.value}".encode())
    for start in range(0, len(flat), 1 << 22):
        block = flat[start : start + (1 << 22)]
        if not np.isfinite(block).all():
            raise ValueError
        digest.update(block.tobytes())
    digest.update(json.dumps(answer["slices"], sort_keys=True).encode())
    return ForeignBag(features, coords, slice_index, slice_number, slices, level, size, digest.hexdigest())


def _slices(
    told: Any, n_rows: int, limits: ForeignLimits
) -> tuple[NDArray[np.int32], NDArray[np.int32], tuple[BagSlice, ...]]:
    if told is None:
        return np.full(n_rows, SCAN_INDEX, np.int32), np.zeros(0, np.int32), ()
    numbers = [_count(number, limits.slices, least=0) for number in told["slice_number"]]
    of_row = [_count(number, limits.slices, least=0) for number in told["slice_index"]]
    if numbers != sorted(set(numbers)) or not set(of_row) <= set(numbers) or len(of_row) != n_rows:
        raise ValueError
    columns = zip(
        numbers, told["z_mm"], told["instance_number"], told["sop_instance_uid"], told["frame_number"], strict=True
    )
    slices = tuple(_slice(z_mm, instance, uid, frame) for _, z_mm, instance, uid, frame in columns)
    return np.array(of_row, np.int32), np.array(numbers, np.int32), slices


def _slice(z_mm: Any, instance: Any, uid: Any, frame: Any) -> BagSlice:
    if not isinstance(z_mm, float) or not math.isfinite(z_mm) or not isinstance(uid, str) or not _UID.fullmatch(uid):
        raise ValueError
    number = _count(instance, 2**31 - 1, least=-(2**31) + 1)
    return BagSlice(z_mm, None if number == -1 else number, uid, _count(frame, 2**31 - 1, least=-(2**31) + 1))


def _count(value: Any, most: int, *, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError
    return value
