"""Whether a foreign HDF5 file holds nothing but groups and plain datasets of its own. Runs in the confined process alone.

HDF5 can name other files (external links, external storage, virtual datasets), load code (filters that are plug-ins), and promise far
more numbers than the file has (chunks that were never written, chunks that unpack a thousandfold).
"""

from __future__ import annotations

from typing import Any

import h5py

from slicebank_store.bags.foreign.limits import ForeignLimits

# Those that every HDF5 library has and that pack numbers: deflate, shuffle, fletcher32; and LZF, which h5py brings.
_FILTERS = frozenset(
    {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
)
_LAYOUTS = frozenset({h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED})
_DEPTH = 8


class Refused(Exception):
    """The file is not taken; the sentence says why."""


def check_structure(file: h5py.File, limits: ForeignLimits) -> None:
    """Walks the whole file, also what nobody reads of it.

    Raises:
        Refused: a link, a layout, a filter or a size that is not taken.
    """
    seen: set[Any] = set()
    pending: list[tuple[h5py.Group, int]] = [(file["/"], 0)]
    while pending:
        group, depth = pending.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Refused("the file holds a soft or external link; copy what it points at into the file")
            found = group[name]
            key = h5py.h5o.get_info(found.id).addr
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > limits.objects or depth > _DEPTH:
                raise Refused(f"the file holds more than {limits.objects} objects, or groups more than {_DEPTH} deep")
            if isinstance(found, h5py.Group):
                pending.append((found, depth + 1))
            elif isinstance(found, h5py.Dataset):
                _check_storage(found, limits)
            else:
                raise Refused("the file holds a named datatype; known layouts have none")


def _check_storage(dataset: h5py.Dataset, limits: ForeignLimits) -> None:
    plist = dataset.id.get_create_plist()
    if plist.get_layout() not in _LAYOUTS:
        raise Refused("the file holds a virtual dataset; copy its values into the file")
    if plist.get_external_count():
        raise Refused("the file keeps values in another file; copy them into the file")
    for number in range(plist.get_nfilters()):
        if plist.get_filter(number)[0] not in _FILTERS:
            raise Refused("the file is packed by a filter that is not taken; write it with gzip or LZF, or unpacked")
    if dataset.chunks is not None:
        size = dataset.dtype.itemsize
        for length in dataset.chunks:
            size *= int(length)
        if size > limits.chunk_bytes:
            raise Refused(f"the file has a chunk of {size} bytes; at most {limits.chunk_bytes} are taken")


def check_written(dataset: h5py.Dataset) -> None:
    """Refuses a dataset that promises more than the file holds: what was never written reads as zeros.

    Raises:
        Refused: values are missing.
    """
    if dataset.chunks is None:
        there = dataset.id.get_storage_size() >= dataset.size * dataset.dtype.itemsize
    else:
        expected = 1
        for length, chunk in zip(dataset.shape, dataset.chunks, strict=True):
            expected *= -(-int(length) // int(chunk))
        there = dataset.id.get_num_chunks() == expected
    if not there:
        raise Refused("the file promises values that were never written; was it cut while it was made?")
