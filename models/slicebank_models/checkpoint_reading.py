"""Reading tensors from files that nobody vouches for: no code runs, and no file takes more memory than its own size warrants."""

import argparse
import pickle
import tarfile
import threading
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from slicebank_models.checkpoint_files import checkpoint_files
from slicebank_models.errors import UnreadableCheckpoint, UnsafeCheckpoint

WRAPPERS = ("state_dict", "model_state_dict", "model", "encoder", "backbone")

# torch.save writes an entry a tensor and a few beside them.
_MOST_ZIP_ENTRIES = 200_000
# Settings that training code saves beside the tensors, and what stands for them: values without a method that a file could
# choose. VMamba's files hold a CfgNode of yacs, timm's and many others the Namespace of a command line.
_SETTINGS: list[Any] = [(OrderedDict, "yacs.config.CfgNode"), argparse.Namespace]
_STAND_INS_SINCE = (2, 7)  # torch that surely takes such a list; older torch refuses these files
_LISTED = threading.Lock()  # the list is the process's
_CONVERT = "Convert it to safetensors on a machine you trust."


def read_tensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Reads the tensors of a file, or of a folder's file or shards, by their full keys; and the names of entries that are none.

    Raises:
        UnreadableCheckpoint: Neither container, or no tensors in it.
        UnsafeCheckpoint: A file that asks for more than tensors and plain values.
    """
    if not path.is_dir():
        return _tensors(path)
    tensors: dict[str, Tensor] = {}
    beside: list[str] = []
    for file in checkpoint_files(path):
        found, others = _tensors(file)
        if twice := sorted(set(tensors) & set(found)):
            raise UnreadableCheckpoint(f"Two shards of {path.name} hold tensors of one name, such as {twice[0]}.")
        tensors |= found
        beside += others
    return tensors, tuple(beside)


def _tensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    entries = _entries(path)
    beside: list[str] = []
    while wrapper := next((name for name in WRAPPERS if isinstance(entries.get(name), Mapping)), None):
        beside += sorted(str(name) for name in entries if name != wrapper)
        entries = dict(entries[wrapper])
    tensors = {str(key): value.detach() for key, value in entries.items() if isinstance(value, Tensor)}
    beside += sorted(str(key) for key, value in entries.items() if not isinstance(value, Tensor))
    if not tensors:
        raise UnreadableCheckpoint(
            f"{path.name} holds no tensors; its entries are {', '.join(beside[:20]) or 'none'}. "
            f"Tensors are looked for at the top and under {', '.join(WRAPPERS)}."
        )
    for key, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise UnreadableCheckpoint(f"{path.name}: tensor {key[:128]} is sparse, quantised or empty of numbers.")
    return tensors, tuple(beside)


def _entries(path: Path) -> dict[Any, Any]:
    if path.is_file() and not path.stat().st_size:
        raise UnreadableCheckpoint(f"{path.name} is empty: it has no bytes.")
    try:
        if _is_safetensors(path):
            return dict(load_file(path))
        _refuse_unsafe_containers(path)
        # Given a path, torch would go by its name; what it says of odd pickles is said below.
        with path.open("rb") as stream, warnings.catch_warnings(), _settings_read():
            warnings.simplefilter("ignore", UserWarning)
            loaded = torch.load(stream, map_location="cpu", weights_only=True)
    except (UnsafeCheckpoint, UnreadableCheckpoint):
        raise
    except pickle.UnpicklingError as error:
        if "Unsupported operand" in str(error):
            raise UnreadableCheckpoint(
                f"{path.name} is no torch file of tensors alone, or is damaged. {_CONVERT}"
            ) from error
        raise UnsafeCheckpoint(
            f"{path.name} holds Python objects besides tensors, and loading them could run code. {_CONVERT}"
        ) from error
    except SafetensorError as error:
        raise UnreadableCheckpoint(f"{path.name} is a damaged safetensors file: {error}") from error
    except Exception as error:  # damaged pickles fail in as many ways as there are errors
        raise UnreadableCheckpoint(
            f"{path.name} is neither a safetensors nor a torch file, or is damaged or cut short: copy or fetch it again."
        ) from error
    if not isinstance(loaded, Mapping):
        raise UnreadableCheckpoint(f"{path.name} holds a {type(loaded).__name__}, not a dictionary of tensors.")
    return dict(loaded)


@contextmanager
def _settings_read() -> Iterator[None]:
    """Lets torch read settings beside tensors as plain values."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < _STAND_INS_SINCE:
        yield
        return
    with _LISTED, torch.serialization.safe_globals(_SETTINGS):
        yield


def _is_safetensors(path: Path) -> bool:
    """Whether a file is meant as one: eight bytes of length, then an object; a zip never is, whatever its name."""
    with path.open("rb") as stream:
        begin = stream.read(9)
    return begin[8:] == b"{" or (path.suffix == ".safetensors" and not begin.startswith(b"PK"))


def _refuse_unsafe_containers(path: Path) -> None:
    """Refuses what torch would read by other means than tensors and plain values, or inflate beyond the file's size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if any("/code/" in f"/{entry.filename}" or entry.filename.endswith("constants.pkl") for entry in entries):
            raise UnsafeCheckpoint(f"{path.name} is a TorchScript program, which is code. {_CONVERT}")
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if (
            packed
            or len(entries) > _MOST_ZIP_ENTRIES
            or sum(entry.file_size for entry in entries) > path.stat().st_size
        ):
            raise UnreadableCheckpoint(f"{path.name} was not written by torch.save: it claims more than it holds.")
    elif tarfile.is_tarfile(path):
        # Read by other code than pickles are, with a hole of its own in old versions of torch (CVE-2025-32434).
        raise UnsafeCheckpoint(f"{path.name} is in the tar format of torch before 0.4. {_CONVERT}")
