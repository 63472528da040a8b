from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice
from slicebank_worker.pretraining.nifti_masks import NiftiSource, Pair, boxes_of, find_pairs

SHAPE = (20, 16, 5)
# Voxel axes run to the patient's left, back and head, as DICOM's do.
LPS = np.diag([-2.0, -2.0, 3.0, 1.0])


def save(path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64] = LPS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)  # type: ignore[no-untyped-call]


def volume() -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)


def mask(*, value: int = 1) -> NDArray[np.uint8]:
    """Columns 3 to 6 and rows 9 to 11 of slice 2."""
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[3:7, 9:12, 2] = value
    return drawn


def read(source: NiftiSource) -> list[SourceSlice]:
    return list(source.slices())


def test_a_volume_with_its_mask(tmp_path: Path) -> None:
    save(tmp_path / "case.nii.gz", volume())
    save(tmp_path / "case_mask.nii.gz", mask())
    source = NiftiSource(tmp_path, workers=2)
    slices = read(source)
    assert len(source) == len(slices) == 5
    for index, one in enumerate(slices):
        np.testing.assert_array_equal(one.hu, volume()[:, :, index].T)
        assert one.position == index
        assert one.pixel_mm == 2.0
    assert [one.boxes for one in slices] == [(), (), (LesionBox(9, 3, 12, 7),), (), ()]
    assert source.left_out == ()


@pytest.mark.parametrize("signs", [(1, 1, 1), (1, -1, -1), (-1, 1, 1)])
def test_boxes_turn_with_the_picture(tmp_path: Path, signs: tuple[int, int, int]) -> None:
    """The same patient stored along other directions gives the same slices and boxes."""
    flips = tuple(-1 if sign != lps else 1 for sign, lps in zip(signs, (-1, -1, 1), strict=True))
    affine = np.diag([2.0 * signs[0], 2.0 * signs[1], 3.0 * signs[2], 1.0])
    stored = (slice(None, None, flips[0]), slice(None, None, flips[1]), slice(None, None, flips[2]))
    save(tmp_path / "case.nii", volume()[stored], affine)
    save(tmp_path / "case_seg.nii", mask()[stored], affine)
    slices = read(NiftiSource(tmp_path, workers=1))
    np.testing.assert_array_equal(np.stack([one.hu for one in slices]), volume().transpose(2, 1, 0))
    assert [one.boxes for one in slices] == [(), (), (LesionBox(9, 3, 12, 7),), (), ()]


def test_only_the_chosen_values_are_lesions(tmp_path: Path) -> None:
    save(tmp_path / "case.nii.gz", volume())
    drawn = mask(value=2)
    drawn[0:2, 0:2, :] = 1  # liver
    save(tmp_path / "case_label.nii.gz", drawn)
    assert sum(len(one.boxes) for one in read(NiftiSource(tmp_path, workers=1))) == 6
    assert sum(len(one.boxes) for one in read(NiftiSource(tmp_path, values=[2], workers=1))) == 1


def test_nnunet_folders(tmp_path: Path) -> None:
    save(tmp_path / "imagesTr" / "liver_001_0000.nii.gz", volume())
    save(tmp_path / "labelsTr" / "liver_001.nii.gz", mask())
    save(tmp_path / "imagesTr" / "liver_002_0000.nii.gz", volume())
    slices = read(NiftiSource(tmp_path, workers=1))
    assert len(slices) == 10
    assert sum(len(one.boxes) for one in slices) == 1
    assert len({one.patient for one in slices}) == 2


def test_pairs() -> None:
    pairs, alone = find_pairs(
        [
            "a/x.nii.gz", "a/x_mask.nii.gz", "b/x_image.nii", "b/x-label.nii", "c/y_seg.nii.gz", "z.nii.gz", "z_ct.nii.gz",
            "imagesTr/k_0000.nii.gz", "imagesTr/k_0001.nii.gz", "labelsTr/k.nii.gz", "imagesTs/m_0000.nii.gz",
        ]
    )  # fmt: skip
    assert pairs == [
        Pair("a/x.nii.gz", "a/x_mask.nii.gz"),
        Pair("b/x_image.nii", "b/x-label.nii"),
        Pair("imagesTr/k_0000.nii.gz", "labelsTr/k.nii.gz"),
        Pair("imagesTs/m_0000.nii.gz", None),
        Pair("z.nii.gz", None),
        Pair("z_ct.nii.gz", None),
    ]
    assert alone == ["c/y_seg.nii.gz"]


def test_masks_of_another_grid_are_refused_by_name_and_the_volume_is_kept(tmp_path: Path) -> None:
    for case in "abc":
        save(tmp_path / f"{case}.nii.gz", volume())
    save(tmp_path / "a_mask.nii.gz", mask()[:-1])
    moved = LPS.copy()
    moved[0, 3] = 30.0
    save(tmp_path / "b_mask.nii.gz", mask(), moved)
    (tmp_path / "c_mask.nii.gz").write_bytes(b"no gzip")
    save(tmp_path / "d_mask.nii.gz", mask())
    source = NiftiSource(tmp_path, workers=1)
    slices = read(source)
    assert len(slices) == 15
    assert not any(one.boxes for one in slices)
    told = " ".join(source.left_out)
    assert "a_mask.nii.gz: its grid is (19, 16, 5), that of a.nii.gz (20, 16, 5)" in told
    assert "b_mask.nii.gz: it lies up to 30 mm beside b.nii.gz" in told
    assert "c_mask.nii.gz: it cannot be read" in told
    assert "d_mask.nii.gz: no volume" in told


def test_volumes_that_cannot_be_taken_are_named(tmp_path: Path) -> None:
    save(tmp_path / "good.nii.gz", volume())
    save(tmp_path / "grey.nii.gz", np.abs(volume()))
    (tmp_path / "noise.nii.gz").write_bytes(b"\x1f\x8b not really")
    cut = (tmp_path / "good.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(cut[: len(cut) // 2])
    source = NiftiSource(tmp_path, workers=1)
    assert {one.series for one in read(source)} == {"nifti-good.nii.gz"}
    told = " ".join(source.left_out)
    for name in ("grey.nii.gz", "noise.nii.gz", "cut.nii.gz"):
        assert name in told


def test_a_single_volume_is_a_source_and_a_folder_without_is_none(tmp_path: Path) -> None:
    save(tmp_path / "case.nii.gz", volume())
    save(tmp_path / "case_mask.nii.gz", mask())
    save(tmp_path / "other.nii.gz", volume())
    slices = read(NiftiSource(tmp_path / "case.nii.gz", workers=1))
    assert sum(len(one.boxes) for one in slices) == 1
    assert len(slices) == 5
    (tmp_path / "masks").mkdir()
    save(tmp_path / "masks" / "case_mask.nii.gz", mask())
    with pytest.raises(SourceProblem, match="no NIfTI volume"):
        NiftiSource(tmp_path / "masks", workers=1)


def test_boxes_of_pieces_against_a_slow_reference() -> None:
    """Pieces by repeated spreading over neighbours, corners included."""
    draw = np.random.default_rng(1)
    for _ in range(30):
        drawn = draw.random((12, 10)) < 0.25
        left, expected = {(int(row), int(column)) for row, column in np.argwhere(drawn)}, set()
        while left:
            piece, edge = set(), {left.pop()}
            while edge:
                row, column = edge.pop()
                piece.add((row, column))
                near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= near
                edge |= near
            rows, columns = zip(*piece, strict=True)
            expected.add((min(rows), min(columns), max(rows) + 1, max(columns) + 1))
        found = boxes_of(drawn)
        # Boxes of two pieces may be equal.
        assert {(box.row_start, box.column_start, box.row_stop, box.column_stop) for box in found} == expected


@pytest.mark.realct
def test_a_real_tumour(real_ct: Path) -> None:
    """lung1: the mask's pixels per slice are in `lung1_slice_labels.csv`."""
    source = NiftiSource(real_ct / "nifti" / "lung1_image.nii.gz", workers=2)
    slices = read(source)
    lines = (real_ct / "nifti" / "lung1_slice_labels.csv").read_text().split()[1:]
    with_tumour = [int(line.split(",")[0]) for line in lines if int(line.split(",")[1])]
    assert [one.position for one in slices if one.boxes] == with_tumour == [32, 33, 34]
    label = np.asarray(nib.load(real_ct / "nifti" / "lung1_label.nii.gz").dataobj)  # type: ignore[attr-defined]
    for index in with_tumour:
        columns, rows = np.nonzero(label[:, :, index])  # stored as LPS
        (box,) = slices[index].boxes
        assert box == LesionBox(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        # The tumour is soft tissue and lies in the lung, which is air.
        inside = slices[index].hu[rows, columns]
        assert -200 < np.median(inside) < 100
