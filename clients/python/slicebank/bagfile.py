"""Reading a bag's HDF5 file; numpy arrays come from h5py, which is an optional package of the client."""

from __future__ import annotations

import importlib
import json
from os import PathLike
from pathlib import Path
from typing import Any

from slicebank.errors import InputError, MissingExtra
from slicebank.records import BagArrays, BagWindow, decode_all

JSON_ATTRIBUTES = ("recipe", "windows", "geometry", "rescale", "numerics", "skipped")


def load_bag(path: str | PathLike[str]) -> BagArrays:
    """Read a bag into memory.

    Bags made elsewhere may lack slices, windows and UIDs: those arrays are then empty.

    Raises:
        MissingExtra: h5py is not installed.
        InputError: not a bag.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise MissingExtra("Loading a bag", extra="service", missing="h5py") from error
    try:
        with h5py.File(Path(path), "r") as file:
            return _read(file)
    except (OSError, KeyError) as error:
        raise InputError(f"{path} is not a bag ({error}).", hint="Download it again.") from error


def _read(file: Any) -> BagArrays:
    attrs = {name: _attribute(name, value) for name, value in file.attrs.items()}
    windows = attrs.get("windows")
    return BagArrays(
        features=file["feats"][()],
        slice_index=_optional(file, "slice_index"),
        window_index=_optional(file, "window_index"),
        slice_number=_optional(file, "slice_number"),
        z_mm=_optional(file, "z_mm"),
        sop_instance_uid=tuple(_text(item) for item in _optional(file, "sop_instance_uid")),
        instance_number=_optional(file, "instance_number"),
        thumbnails=tuple(bytes(item) for item in _optional(file, "thumbnails")),
        windows=decode_all(BagWindow, windows) if isinstance(windows, list) else (),
        attrs=attrs,
    )


def _optional(file: Any, name: str) -> Any:
    return file[name][()] if name in file else ()


def _attribute(name: str, value: Any) -> Any:
    text = _text(value) if isinstance(value, (str, bytes)) else None
    if text is None:
        return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if name not in JSON_ATTRIBUTES:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # a bag made elsewhere may use the name for plain text


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
