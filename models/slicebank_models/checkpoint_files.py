"""The files of a checkpoint that is a folder: one of the names that libraries write, or the shards of an index."""

import json
from pathlib import Path
from typing import Any

from slicebank_models.errors import UnreadableCheckpoint, UnsafeCheckpoint
from slicebank_models.plain_files import plain_file

# As transformers and the hub name them; the first that is there is taken.
WEIGHTS_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
INDEX_SUFFIX = ".index.json"
MOST_INDEX_BYTES = 32 * 1024 * 1024
MOST_SHARDS = 1000


def checkpoint_files(folder: Path) -> tuple[Path, ...]:
    """Returns the files whose tensors together are a folder's checkpoint.

    Raises:
        UnreadableCheckpoint: It has none, or its index names files that are not there.
        UnsafeCheckpoint: Its index names files outside the folder.
    """
    for name in WEIGHTS_NAMES:
        if (path := plain_file(folder, name)) is None:
            if (folder / name).is_symlink():
                raise UnsafeCheckpoint(f"{name} is a link that leads out of the folder; give the file itself.")
            continue
        return _shards(folder, path) if name.endswith(INDEX_SUFFIX) else (path,)
    raise UnreadableCheckpoint(
        f"The folder {folder.name} holds none of {', '.join(WEIGHTS_NAMES)}; name the checkpoint's file itself."
    )


def shard_names(index: bytes, name: str) -> tuple[str, ...]:
    """Returns the files that an index of shards names.

    Args:
        index: The index, JSON.
        name: What to call it in sentences.

    Raises:
        UnreadableCheckpoint: It is no index.
        UnsafeCheckpoint: It names files outside its folder.
    """
    try:
        read: Any = json.loads(index)
        names = sorted({str(file) for file in read["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableCheckpoint(f"{name} is no index of shards.") from error
    if not 1 <= len(names) <= MOST_SHARDS:
        raise UnreadableCheckpoint(f"{name} names {len(names)} files; 1 to {MOST_SHARDS} are read.")
    for file in names:
        if "/" in file or "\\" in file or file.startswith("."):
            raise UnsafeCheckpoint(f"{name} names {file[:128]!r}, which is no plain file beside it.")
    return tuple(names)


def _shards(folder: Path, index: Path) -> tuple[Path, ...]:
    if index.stat().st_size > MOST_INDEX_BYTES:
        raise UnreadableCheckpoint(f"{index.name} is larger than an index of shards can be.")
    shards: list[Path] = []
    for name in shard_names(index.read_bytes(), index.name):
        path = plain_file(folder, name)
        if path is None:
            raise UnreadableCheckpoint(f"{index.name} names {name}, which is not in the folder.")
        shards.append(path)
    return tuple(shards)
