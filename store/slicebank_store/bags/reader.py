"""Reading bags that slicebank wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from slicebank_store.bags.format import FORMAT, NO_INSTANCE_NUMBER
from slicebank_store.errors import BadBag
from slicebank_store.recipe import RecipeWindow
from slicebank_store.types import JSON, BagLevel

_JSON_ATTRIBUTES = ("recipe", "windows", "geometry", "rescale", "numerics", "skipped")


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """One bag in memory. N rows, S slices, D numbers a row.

    Attributes:
        features: float32 (N, D).
        coords: float32 (N, 2): micrometres along the slice normal, 0.
        slice_index: int32 (N): slice of the stack; -1 in a scan-level bag.
        window_index: int8 (N): index into `windows`; -1 in a scan-level bag.
        slice_numbers: int32 (S): the slices in the bag, ascending; what follows is in their order.
        z_mm: float64 (S): position along the slice normal.
        instance_number: int32 (S); -1 where the file has none.
        sop_instance_uid: S UIDs.
        frame_number: int32 (S): 1-based.
        windows: of the recipe.
        attrs: root attributes, JSON ones parsed.
    """

    features: NDArray[np.float32]
    coords: NDArray[np.float32]
    slice_index: NDArray[np.int32]
    window_index: NDArray[np.int8]
    slice_numbers: NDArray[np.int32]
    z_mm: NDArray[np.float64]
    instance_number: NDArray[np.int32]
    sop_instance_uid: tuple[str, ...]
    frame_number: NDArray[np.int32]
    windows: tuple[RecipeWindow, ...]
    level: BagLevel
    attrs: JSON

    def slice_position(self, slice_index: int) -> int:
        """Where a slice of the stack stands in the per-slice arrays.

        Raises:
            BadBag: the slice was left out of the bag.
        """
        position = int(np.searchsorted(self.slice_numbers, slice_index))
        if position == len(self.slice_numbers) or self.slice_numbers[position] != slice_index:
            msg = f"Slice {slice_index} is not in the bag: it could not be decoded, or the stack is shorter."
            raise BadBag(msg)
        return position

    def instance(self, slice_index: int) -> int | None:
        """InstanceNumber of a slice of the stack; None where the file has none."""
        number = int(self.instance_number[self.slice_position(slice_index)])
        return None if number == NO_INSTANCE_NUMBER else number


def read_bag(path: Path) -> Bag:
    """Reads a bag whole, without its thumbnails.

    Raises:
        BadBag: the file is not a bag of this format.
    """
    with _open(path) as file:
        attributes: dict[str, Any] = {}
        for name, value in file.attrs.items():
            attributes[name] = json.loads(value) if name in _JSON_ATTRIBUTES else _plain(value)
        _check_format(attributes.get("slicebank_format"))
        bag = Bag(
            features=file["feats"][...],
            coords=file["coords"][...],
            slice_index=file["slice_index"][...],
            window_index=file["window_index"][...],
            slice_numbers=file["slice_number"][...],
            z_mm=file["z_mm"][...],
            instance_number=file["instance_number"][...],
            sop_instance_uid=tuple(uid.decode() for uid in file["sop_instance_uid"][...]),
            frame_number=file["frame_number"][...],
            windows=tuple(RecipeWindow(**window) for window in attributes["windows"]),
            level=BagLevel(attributes["level"]),
            attrs=attributes,
        )
    n_rows, n_slices = len(bag.features), len(bag.slice_numbers)
    by_row = (bag.coords, bag.slice_index, bag.window_index)
    by_slice = (bag.z_mm, bag.instance_number, bag.sop_instance_uid, bag.frame_number)
    if any(len(values) != n_rows for values in by_row) or any(len(values) != n_slices for values in by_slice):
        msg = "The bag's datasets differ in length."
        raise BadBag(msg)
    return bag


@dataclass(frozen=True, slots=True, eq=False)
class BagRows:
    """What training needs of a bag: its rows and their windows, as in `Bag`."""

    features: NDArray[np.float32]
    window_index: NDArray[np.int8]
    windows: tuple[RecipeWindow, ...]


def read_bag_rows(path: Path) -> BagRows:
    """Reads the rows of a bag and their windows, and nothing else.

    Raises:
        BadBag: the file is not a bag of this format.
    """
    with _open(path) as file:
        _check_format(file.attrs.get("slicebank_format"))
        rows = BagRows(
            features=_read_matrix(path, file["feats"]),
            window_index=file["window_index"][...],
            windows=tuple(RecipeWindow(**window) for window in json.loads(file.attrs["windows"])),
        )
    if len(rows.features) != len(rows.window_index):
        msg = "The bag's datasets differ in length."
        raise BadBag(msg)
    return rows


def read_features(path: Path) -> NDArray[np.float32]:
    """Reads the (N, D) rows of a bag and nothing else, as fast as the bytes of the file come.

    Raises:
        BadBag: the file is not a bag of this format.
    """
    with _open(path) as file:
        _check_format(file.attrs.get("slicebank_format"))
        return _read_matrix(path, file["feats"])


def read_ahead(path: Path) -> None:
    """Lets the system fetch a file that will be read soon; does nothing where it cannot."""
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError), path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _read_matrix(path: Path, dataset: h5py.Dataset) -> NDArray[np.float32]:
    """Reads the rows of a dataset as `BagWriter` lays them out, chunk by chunk past HDF5; others through HDF5.

    HDF5 keeps every other thread waiting while it waits for the disk.
    """
    plain = dataset.id.get_create_plist().get_nfilters() == 0 and dataset.dtype == np.dtype("<f4")
    wide = dataset.ndim == 2 and dataset.chunks is not None and dataset.chunks[1] == dataset.shape[1]
    # A chunk that was never written has no place in the file.
    whole = wide and dataset.id.get_num_chunks() == -(-dataset.shape[0] // dataset.chunks[0])
    if not (plain and whole) or dataset.file.userblock_size:
        return np.asarray(dataset[...])
    matrix = np.empty(dataset.shape, np.float32)
    data = memoryview(matrix.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    row_bytes = dataset.shape[1] * matrix.itemsize
    with path.open("rb", buffering=0) as file:
        for number in range(dataset.id.get_num_chunks()):
            chunk = dataset.id.get_chunk_info(number)
            part = data[chunk.chunk_offset[0] * row_bytes :][: chunk.size]
            file.seek(chunk.byte_offset)
            while part:
                count = file.readinto(part)
                if not count:
                    msg = f"{path.name} ends within its rows: embed its series again."
                    raise BadBag(msg)
                part = part[count:]
    return matrix


def _check_format(found: object) -> None:
    if found != FORMAT:
        msg = f"The bag has format {found}, this slicebank reads {FORMAT}."
        raise BadBag(msg)


def read_thumbnails(path: Path, slices: Sequence[int]) -> list[bytes | None]:
    """JPEG bytes of slices of the stack, in the order asked for; None where the bag has no picture of a slice.

    Raises:
        BadBag: the file is not a bag.
    """
    with _open(path) as file:
        if "thumbnails" not in file:
            return [None] * len(slices)
        where = {int(number): at for at, number in enumerate(file["slice_number"][...])}
        pictures = [bytes(file["thumbnails"][where[index]]) if index in where else b"" for index in slices]
    return [picture or None for picture in pictures]


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        # Bags never change once they have their name, and file locks fail on many network file systems.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        msg = f"{path.name} cannot be read as a bag ({type(error).__name__}): embed its series again."
        raise BadBag(msg) from error


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
