"""Checking stored weights without torch: the bytes of the file, and the tensors in it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from slicebank_models.errors import UnreadableCheckpoint

_BLOCK = 8 * 1024 * 1024
# The format's own limit.
_MOST_HEADER_BYTES = 100_000_000
# Names of the format, torch's names, and bytes a number.
_DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}


def _widened(block: bytes, dtype: str) -> bytes:
    """Half-precision numbers as float32; those of bfloat16 are its upper half."""
    import numpy as np  # cards are read by processes that need none

    if dtype == "float16":
        return np.frombuffer(block, "<f2").astype("<f4").tobytes()
    return (np.frombuffer(block, "<u2").astype("<u4") << np.uint32(16)).tobytes()


_HALVES = ("float16", "bfloat16")


def file_sha256(path: Path) -> str:
    """Returns sha256 hex of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stored_digest(path: Path) -> str:
    """Returns what `digest.weights_digest` gives for the weights of a safetensors file once loaded, in a few megabytes.

    Loaded weights are float32. Numbers that a file stores in half precision to be smaller are exact in it, so that one
    set of weights has one digest, however wide it is stored.

    Raises:
        UnreadableCheckpoint: The file is damaged.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        header, begin = _header(stream, path.name, size)
        digest = hashlib.sha256()
        for name in sorted(header):
            dtype, shape, (first, last) = _tensor(path.name, name, header[name])
            if begin + last > size:
                raise UnreadableCheckpoint(f"{path.name} is cut short: tensor {name} reaches beyond its end.")
            loaded = "float32" if dtype in _HALVES else dtype
            digest.update(f"{name}\0{loaded}\0{','.join(map(str, shape))}\0".encode())
            stream.seek(begin + first)
            left = last - first
            while left > 0 and (block := stream.read(min(_BLOCK, left))):
                digest.update(_widened(block, dtype) if dtype in _HALVES else block)
                left -= len(block)
    return digest.hexdigest()


def _header(stream: BinaryIO, name: str, size: int) -> tuple[Mapping[str, Any], int]:
    """The header without its metadata, and where the tensors begin."""
    length = int.from_bytes(stream.read(8), "little")
    if not 2 <= length <= min(_MOST_HEADER_BYTES, size - 8):
        raise UnreadableCheckpoint(f"{name} is no safetensors file: its header would have {length} bytes.")
    try:
        header = json.loads(stream.read(length))
    except (ValueError, RecursionError) as error:
        raise UnreadableCheckpoint(f"{name} is no safetensors file: its header is no JSON.") from error
    if not isinstance(header, dict):
        raise UnreadableCheckpoint(f"{name} is no safetensors file: its header is no object.")
    header.pop("__metadata__", None)
    return header, 8 + length


def _tensor(file: str, name: str, entry: Any) -> tuple[str, list[int], tuple[int, int]]:
    try:
        dtype, width = _DTYPES[entry["dtype"]]
        shape = [int(length) for length in entry["shape"]]
        first, last = (int(place) for place in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableCheckpoint(f"{file} is damaged: the entry of tensor {name[:128]} makes no sense.") from error
    numbers = 1
    for length in shape:
        numbers *= length
    if first < 0 or min(shape, default=0) < 0 or last - first != numbers * width:
        raise UnreadableCheckpoint(f"{file} is damaged: tensor {name[:128]} has not the bytes of its shape.")
    return dtype, shape, (first, last)
