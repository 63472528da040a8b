"""Bags: downloads that are whole or not there, and arrays."""

from __future__ import annotations

import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from slicebank import Client, errors, load_bag
from tests.client.speaking_server import Reply, SpeakingServer, bag_answer, problem

BAG = "b" * 32


def hdf5() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["feats"] = np.arange(12, dtype=np.float32).reshape(4, 3)
        file["slice_index"] = np.array([0, 0, 1, 1], np.int32)
        file["window_index"] = np.array([0, 1, 0, 1], np.int8)
        file["z_mm"] = np.array([0.0, 5.0])
        file["instance_number"] = np.array([2, 1], np.int32)
        file["sop_instance_uid"] = ["1.1", "1.2"]
        file.create_dataset("thumbnails", (2,), dtype=h5py.vlen_dtype(np.uint8))
        file["thumbnails"][0] = np.frombuffer(b"\xff\xd8a", np.uint8)
        file["thumbnails"][1] = np.frombuffer(b"\xff\xd8b", np.uint8)
        file.attrs["slicebank_format"] = 1
        file.attrs["series_uid"] = "1.2.3"
        file.attrs["geometry"] = json.dumps({"uniform": True})
        file.attrs["windows"] = json.dumps([{"name": "lung", "low": -1500, "high": 500}])
    return buffer.getvalue()


def offer(server: SpeakingServer, content: bytes, **reply: object) -> None:
    server.on(f"GET /v1/bags/{BAG}", bag_answer(content))
    server.on(f"GET /v1/bags/{BAG}/file", Reply(200, content, "application/x-hdf5"))


def test_download_into_a_folder(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    offer(server, hdf5())
    seen: list[tuple[int, int]] = []
    path = client.bags.download(BAG, tmp_path, on_progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / f"{BAG}.h5"
    assert path.read_bytes() == hdf5()
    assert seen[-1] == (len(hdf5()), len(hdf5()))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert server.requests[-1].query == {"format": "h5"}


def test_download_to_a_name_in_a_new_folder(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    offer(server, hdf5())
    assert client.bags.download(BAG, tmp_path / "new" / "a.h5").read_bytes() == hdf5()


def test_a_wrong_checksum_leaves_nothing(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    offer(server, hdf5())
    server.on(f"GET /v1/bags/{BAG}/file", Reply(200, hdf5() + b"x"))
    with pytest.raises(errors.ChecksumMismatch):
        client.bags.download(BAG, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_download_leaves_what_was_there(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    offer(server, hdf5())
    server.on(
        f"GET /v1/bags/{BAG}/file", Reply(200, b"short", headers={"Content-Length": "500", "Connection": "close"})
    )
    target = tmp_path / "a.h5"
    target.write_bytes(b"before")
    with pytest.raises(errors.TransportError):
        client.bags.download(BAG, target)
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [b"before"]


def test_npz_is_verified_by_its_own_checksums(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, feats=np.zeros((4, 3), np.float32))
    content = buffer.getvalue()
    offer(server, hdf5())
    server.on(f"GET /v1/bags/{BAG}/file", Reply(200, content))
    assert client.bags.download(BAG, tmp_path, "npz").suffix == ".npz"
    damaged = content.replace(bytes(20), bytes(19) + b"\x01", 1)
    server.on(f"GET /v1/bags/{BAG}/file", Reply(200, damaged))
    with pytest.raises(errors.ChecksumMismatch):
        client.bags.download(BAG, tmp_path / "other.npz", "npz")
    server.on(f"GET /v1/bags/{BAG}/file", Reply(200, content[: len(content) // 2]))
    with pytest.raises(errors.ChecksumMismatch):
        client.bags.download(BAG, tmp_path / "other.npz", "npz")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_target_that_cannot_be_written(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    offer(server, hdf5())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.InputError):
        client.bags.download(BAG, tmp_path / "file" / "a.h5")


def test_not_ready_names_its_job(client: Client, server: SpeakingServer, tmp_path: Path) -> None:
    server.on(f"GET /v1/bags/{BAG}", problem(404, "bag_not_ready", "Being made.", job_id="j"))
    with pytest.raises(errors.NotReady) as caught:
        client.bags.download(BAG, tmp_path)
    assert caught.value.job_id == "j"


def test_load_gives_arrays(client: Client, server: SpeakingServer) -> None:
    offer(server, hdf5())
    arrays = client.bags.load(BAG)
    assert arrays.features.shape == (4, 3)
    assert arrays.features.dtype == np.float32
    assert arrays.slice_index.tolist() == [0, 0, 1, 1]
    assert arrays.sop_instance_uid == ("1.1", "1.2")
    assert arrays.thumbnails == (b"\xff\xd8a", b"\xff\xd8b")
    assert arrays.attrs["geometry"] == {"uniform": True}
    assert arrays.attrs["slicebank_format"] == 1
    assert arrays.windows[0].low == -1500.0


def test_bags_made_elsewhere_may_hold_features_alone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = np.zeros((2, 3), np.float32)
        file.attrs["windows"] = "whatever"
    arrays = load_bag(tmp_path / "a.h5")
    assert (len(arrays.slice_index), arrays.thumbnails, arrays.windows) == (0, (), ())
    assert arrays.attrs["windows"] == "whatever"


@pytest.mark.parametrize("content", [b"", b"not hdf5"])
def test_what_is_no_bag(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(errors.InputError):
        load_bag(tmp_path / "a.h5")


def test_list_and_delete(client: Client, server: SpeakingServer) -> None:
    server.on("GET /v1/bags", {"items": [bag_answer(b"")], "next_cursor": None})
    server.on(f"DELETE /v1/bags/{BAG}", Reply(204))
    [bag] = client.bags.list(encoder="dummy")
    assert [window.name for window in bag.windows] == ["abdomen", "lung"]
    assert bag.windows[0].low == -175.0
    client.bags.delete(BAG)
