"""Volumes and slices of research collections, sound and hostile."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slicebank_imaging import array_files
from slicebank_imaging.array_files import read_npz_volume, read_png_slice
from slicebank_imaging.errors import DecodeFailed


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_a_volume_comes_back(tmp_path: Path, dtype: str) -> None:
    stored = np.array([[[-1000, 40], [1000, 0]]], dtype=dtype)
    np.savez_compressed(tmp_path / "trn00001.npz", ct=stored, other=np.zeros(3))
    found = read_npz_volume(tmp_path / "trn00001.npz", "ct")
    assert found.dtype == np.int16
    assert np.array_equal(found, stored)


@pytest.mark.parametrize(
    "content",
    [
        {"other": np.zeros((2, 2, 2), np.int16)},
        {"ct": np.zeros((2, 2), np.int16)},
        {"ct": np.zeros((0, 2, 2), np.int16)},
        {"ct": np.full((1, 1, 1), "text")},
        {"ct": np.full((1, 1, 1), 40_000, np.int32)},
        {"ct": np.full((1, 1, 1), np.nan, np.float32)},
    ],
    ids=["no such array", "flat", "empty", "text", "too large", "nan"],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, content: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "bad.npz", **content)  # type: ignore[arg-type]
    with pytest.raises(DecodeFailed):
        read_npz_volume(tmp_path / "bad.npz", "ct")


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", ct=np.array([[[print]]], dtype=object), allow_pickle=True)
    with pytest.raises(DecodeFailed):
        read_npz_volume(tmp_path / "bad.npz", "ct")


def test_a_claim_of_too_many_voxels_is_refused_before_anything_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i2", "fortran_order": False, "shape": (9000, 9000, 9000)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("ct.npy", header.getvalue())
    monkeypatch.setattr(array_files.np, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(DecodeFailed, match="not a CT volume"):
        read_npz_volume(tmp_path / "bomb.npz", "ct")


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"text")
    with pytest.raises(DecodeFailed):
        read_npz_volume(tmp_path / "bad.npz", "ct")
    with pytest.raises(DecodeFailed):
        read_npz_volume(tmp_path / "gone.npz", "ct")


def test_png_slices_are_hu(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 31768, 32768, 65535]], np.uint16)).save(tmp_path / "1.png")
    assert read_png_slice(tmp_path / "1.png", zero=32768).tolist() == [[-32768, -1000, 0, 32767]]


def test_other_pictures_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "jpeg.png", format="JPEG")
    (tmp_path / "text.png").write_text("text")
    for name in ("grey", "jpeg", "text", "gone"):
        with pytest.raises(DecodeFailed):
            read_png_slice(tmp_path / f"{name}.png", zero=32768)
