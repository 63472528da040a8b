"""Names and sizes of the files of a slice cache. No torch here."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

FORMAT = 1
INDEX = "index.json"
LEFT_OUT = "left_out.txt"
# Large enough for long reads, small enough to copy and to send on; the last one is smaller.
SHARD_BYTES = 1 << 30
PIXEL = np.dtype("<i2")


def shard_name(number: int) -> str:
    """File of a shard, numbered from 0."""
    return f"slices-{number:05d}.i16"


def slices_per_shard(side: int, shard_bytes: int = SHARD_BYTES) -> int:
    """How many slices of `side` pixels a shard holds; at least one."""
    return max(1, shard_bytes // (side * side * PIXEL.itemsize))


def is_cache(folder: Path) -> bool:
    """Whether a folder holds a cache, whole as every one that has an index."""
    return (folder / INDEX).is_file()


def cache_digest(side: int, shards: Sequence[str], tables: str) -> str:
    """sha256 of what a cache holds, from the checksums of its shards and tables."""
    content = json.dumps({"format": FORMAT, "side": side, "shards": list(shards), "tables": tables}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
