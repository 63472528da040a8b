"""Checkpoints made by an enemy: nothing in them runs, none takes more memory than its size warrants, none leads astray."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import random
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from slicebank_models.checkpoint_reading import read_tensors
from slicebank_models.errors import CheckpointError, UnreadableCheckpoint, UnsafeCheckpoint


class Touch:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


class CfgNode(dict):  # type: ignore[type-arg]
    """As of yacs: a dictionary with attributes of its own."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.__dict__["__immutable__"] = True
        self.__dict__["__deprecated_keys__"] = set()


def torch_zip(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def torch_legacy(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def torch_tar(content: object) -> bytes:
    """As torch before 0.4 wrote: pickles as members of a tar."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(content)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def program(trap: Touch) -> bytes:
    """As torch.jit.save lays its files out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(trap))
        archive.writestr("m/constants.pkl", pickle.dumps(()))
        archive.writestr("m/code/__torch__.py", "class M: pass")
        archive.writestr("m/version", "3")
    return file.getvalue()


CONTAINERS: dict[str, Callable[[Touch], bytes]] = {
    "bare pickle": lambda trap: pickle.dumps(trap),
    "bare pickle in a dictionary": lambda trap: pickle.dumps({"state_dict": {"a": trap}}),
    "zip": lambda trap: torch_zip({"state_dict": {"a": torch.zeros(1)}, "args": trap}),
    "zip, deep": lambda trap: torch_zip({"state_dict": {"a": [{"b": ({"c": trap},)}]}}),
    "legacy": lambda trap: torch_legacy({"a": torch.zeros(1), "b": trap}),
    "tar": torch_tar,
    "program": program,
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.bin", "x"])
@pytest.mark.parametrize("nested", [False, True])
def test_code_is_refused_and_does_not_run(container: str, name: str, nested: bool, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    folder = tmp_path / "model"
    folder.mkdir()
    file = folder / ("pytorch_model.bin" if nested else name)
    file.write_bytes(CONTAINERS[container](Touch(trap)))
    with pytest.raises(CheckpointError):
        read_tensors(folder if nested else file)
    assert not trap.exists()


def test_the_trap_works(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    torch.load(io.BytesIO(torch_zip(Touch(tmp_path / "ran"))), weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_known_pickle_with_code_is_called_unsafe(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(torch_zip({"a": Touch(tmp_path / "ran")}))
    with pytest.raises(UnsafeCheckpoint, match="run code"):
        read_tensors(tmp_path / "x.pth")


HEADERS = {
    "length beyond the file": (10**15).to_bytes(8, "little") + b"{}",
    "length of all bits": b"\xff" * 8 + b"{}",
    "no header": b"\x00" * 8,
    "claims a terabyte": b'{"a":{"dtype":"F32","shape":[262144,1048576],"data_offsets":[0,1099511627776]}}',
    "shape and bytes disagree": b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}',
    "overflowing shape": b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}',
    "overlapping": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    "negative": b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}',
    "deep": b'{"a":' * 10_000 + b"0" + b"}" * 10_000,
    "no numbers": b"{}",
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_absurd_safetensors(name: str, suffix: str, tmp_path: Path) -> None:
    header = HEADERS[name]
    file = tmp_path / f"x{suffix}"
    file.write_bytes(header if not header.startswith(b"{") else len(header).to_bytes(8, "little") + header + b"\0" * 8)
    with pytest.raises(UnreadableCheckpoint):
        read_tensors(file)


def test_a_packed_zip_is_not_inflated(tmp_path: Path) -> None:
    plain = io.BytesIO(torch_zip({"a": torch.zeros(1_000_000)}))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in source.infolist():
            bomb.writestr(entry.filename, source.read(entry))
    assert (tmp_path / "bomb.pth").stat().st_size < 100_000
    with pytest.raises(UnreadableCheckpoint, match="more than it holds"):
        read_tensors(tmp_path / "bomb.pth")


@pytest.mark.parametrize("tensor", [torch.eye(3).to_sparse(), torch.zeros(3, device="meta")], ids=["sparse", "meta"])
def test_tensors_without_plain_numbers(tensor: torch.Tensor, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(torch_zip({"a": tensor}))
    with pytest.raises(UnreadableCheckpoint):
        read_tensors(tmp_path / "x.pth")


def test_links_out_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    (folder / "model.safetensors").symlink_to("../other.safetensors")
    with pytest.raises(UnsafeCheckpoint, match="out of the folder"):
        read_tensors(folder)
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "shard.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "shard.safetensors").symlink_to("../other.safetensors")
    with pytest.raises(UnreadableCheckpoint, match="not in the folder"):
        read_tensors(folder)
    (folder / "shard.safetensors").unlink()
    os.mkfifo(folder / "shard.safetensors")  # reading one would wait for ever
    with pytest.raises(UnreadableCheckpoint):
        read_tensors(folder)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "sub/x", ".hidden", "a\\b"])
def test_an_index_that_leads_out(name: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UnsafeCheckpoint):
        read_tensors(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}'])
def test_an_index_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin.index.json").write_text(content)
    with pytest.raises(UnreadableCheckpoint):
        read_tensors(tmp_path)


def test_folders_as_libraries_write_them(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint, match=r"model\.safetensors"):
        read_tensors(tmp_path)
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert list(read_tensors(tmp_path)[0]) == ["a"]
    for name in ("1", "2"):
        save_file({f"t{name}": torch.zeros(2)}, tmp_path / f"{name}.safetensors")
    index = {"weight_map": {"t1": "1.safetensors", "t2": "2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert sorted(read_tensors(tmp_path)[0]) == ["t1", "t2"]
    save_file({"t1": torch.zeros(2)}, tmp_path / "2.safetensors")
    with pytest.raises(UnreadableCheckpoint, match="one name"):
        read_tensors(tmp_path)


def test_what_a_file_is_its_bytes_say(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "named_wrongly.pth")
    assert list(read_tensors(tmp_path / "named_wrongly.pth")[0]) == ["a"]


@pytest.mark.parametrize("make", [torch_zip, torch_legacy], ids=["zip", "legacy"])
def test_damage_is_refused_in_words(make: Callable[[object], bytes], tmp_path: Path) -> None:
    """Whatever is damaged, the answer is tensors or a sentence, never another error."""
    whole = make({"state_dict": {"a.weight": torch.zeros(4, 4), "b": torch.ones(3)}, "epoch": 3})
    chance = random.Random(0)
    file = tmp_path / "x.pth"
    refused = 0
    for _ in range(200):
        content = bytearray(whole[: chance.randrange(1, len(whole) + 1)] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        file.write_bytes(content)
        try:
            read_tensors(file)
        except CheckpointError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("legacy", [False, True])
def test_settings_beside_tensors_are_read_as_values(
    legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VMamba's training code saves its yacs settings beside the model, timm's its command line."""
    settings = types.ModuleType("yacs.config")
    settings.CfgNode = CfgNode  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", settings)
    monkeypatch.setattr(CfgNode, "__module__", "yacs.config")
    content = {
        "model": {"norm.weight": torch.ones(2)},
        "config": CfgNode({"MODEL": CfgNode({"DEPTHS": [2, 2]}), "LR": 0.1}),
        "args": argparse.Namespace(lr=0.1, opt="adamw"),
        "epoch": 264,
    }
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(torch_legacy(content) if legacy else torch_zip(content))
    monkeypatch.delitem(sys.modules, "yacs.config")
    allowed = torch.serialization.get_safe_globals()
    tensors, beside = read_tensors(path)
    assert tensors["norm.weight"].tolist() == [1.0, 1.0]
    assert set(beside) == {"config", "args", "epoch"}
    assert set(torch.serialization.get_safe_globals()) == set(allowed), "nothing more stays allowed"


def test_settings_do_not_let_code_in(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(torch_zip({"model": {"w": torch.ones(2)}, "args": argparse.Namespace(trap=Touch(marker))}))
    with pytest.raises(UnsafeCheckpoint):
        read_tensors(path)
    assert not marker.exists()
