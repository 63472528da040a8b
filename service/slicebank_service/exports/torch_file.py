"""A tensor as the file that `torch.load` reads, written without torch.

Since torch 1.6 that is a zip archive of stored members: `data.pkl`, a pickle that names the tensor's storage, shape and strides;
`data/0`, the numbers; `byteorder`; `version`. The pickle holds nothing that `torch.load(weights_only=True)` refuses.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROOT = "archive"
_VERSION = b"3\n"


def write_tensor(rows: NDArray[np.float32], target: Path) -> None:
    """Writes a float32 array (N, D) as a tensor; the same array gives the same bytes."""
    n_rows, dim = rows.shape
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (
            ("data.pkl", _pickled(n_rows, dim)),
            ("byteorder", b"little"),
            ("data/0", rows.astype("<f4", copy=False).tobytes()),
            ("version", _VERSION),
        ):
            archive.writestr(zipfile.ZipInfo(f"{_ROOT}/{name}", (1980, 1, 1, 0, 0, 0)), content)


def _pickled(n_rows: int, dim: int) -> bytes:
    """The call `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`, protocol 2."""
    storage = b"".join(
        (
            pickle.MARK,
            _text("storage"),
            pickle.GLOBAL + b"torch\nFloatStorage\n",
            _text("0"),
            _text("cpu"),
            _number(n_rows * dim),
            pickle.TUPLE,
            pickle.BINPERSID,
        )
    )
    return b"".join(
        (
            pickle.PROTO + b"\x02",
            pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n",
            pickle.MARK,
            storage,
            _number(0),
            _number(n_rows) + _number(dim) + pickle.TUPLE2,
            _number(dim) + _number(1) + pickle.TUPLE2,
            pickle.NEWFALSE,
            pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE,
            pickle.TUPLE,
            pickle.REDUCE,
            pickle.STOP,
        )
    )


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + len(encoded).to_bytes(4, "little") + encoded


def _number(value: int) -> bytes:
    return pickle.LONG1 + b"\x08" + value.to_bytes(8, "little", signed=True)
