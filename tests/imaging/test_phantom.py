from pathlib import Path

import numpy as np
import pydicom
import pytest

from slicebank_imaging.errors import UnsupportedTransferSyntax
from slicebank_imaging.grouping import group_series
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.phantom import (
    Lesion,
    PhantomHeader,
    PhantomSpec,
    make_phantom,
    random_lesion,
    write_dicom,
    write_enhanced_dicom,
)
from slicebank_imaging.pixels import SliceLoader
from tests.imaging.making import read

SMALL = PhantomSpec(seed=5, n_slices=8, size=64, slice_spacing_mm=20)


def test_the_same_seed_gives_the_same_voxels_whatever_else_is_drawn() -> None:
    first = make_phantom(SMALL)
    np.random.default_rng().random(7)
    assert np.array_equal(make_phantom(SMALL).hu, first.hu)
    assert first.hu.dtype == np.int16
    assert not np.array_equal(make_phantom(PhantomSpec(seed=6, n_slices=8, size=64, slice_spacing_mm=20)).hu, first.hu)


def test_it_has_the_tissues_of_a_trunk() -> None:
    """Fractions of each tissue within generous bounds of a chest-abdomen CT with a 380 mm field of view."""
    hu = make_phantom(PhantomSpec(seed=1, n_slices=40, size=128, slice_spacing_mm=8, noise_hu=0)).hu
    fractions = {
        "air": np.mean(hu < -950),
        "lung": np.mean((hu > -900) & (hu < -750)),
        "fat": np.mean((hu > -130) & (hu < -70)),
        "soft": np.mean((hu > 0) & (hu < 200)),
        "bone": np.mean(hu > 300),
    }
    assert 0.3 < fractions["air"] < 0.7
    assert 0.03 < fractions["lung"] < 0.3
    assert 0.04 < fractions["fat"] < 0.3
    assert 0.1 < fractions["soft"] < 0.4
    assert 0.003 < fractions["bone"] < 0.06


def test_anatomy_changes_slowly_and_lungs_lie_above_the_liver() -> None:
    hu = make_phantom(PhantomSpec(seed=2, n_slices=60, size=96, slice_spacing_mm=5, noise_hu=0)).hu.astype(int)
    steps = np.abs(np.diff(hu, axis=0)).mean(axis=(1, 2))
    far = np.abs(hu[0] - hu[-1]).mean()
    assert steps.max() < 0.35 * far
    lung = ((hu > -900) & (hu < -700)).mean(axis=(1, 2))
    assert lung[:20].max() < 0.03 < lung[45:].min()


def test_noise_has_the_strength_asked_for_and_little_at_low_frequencies() -> None:
    quiet = make_phantom(PhantomSpec(seed=3, n_slices=6, size=128, slice_spacing_mm=20, noise_hu=0))
    noisy = make_phantom(PhantomSpec(seed=3, n_slices=6, size=128, slice_spacing_mm=20, noise_hu=20))
    inside = (quiet.hu > 20) & (quiet.hu < 200)
    noise = np.where(inside, noisy.hu - quiet.hu, 0).astype(float)
    assert noise[inside].std() == pytest.approx(20, rel=0.1)
    coarse = noise.reshape(6, 16, 8, 16, 8).mean(axis=(2, 4))[inside.reshape(6, 16, 8, 16, 8).all(axis=(2, 4))]
    assert coarse.std() < 0.5 * 20 / 8  # white noise would fall by the side of the block


def test_a_lesion_stands_where_it_was_put() -> None:
    spec = PhantomSpec(seed=4, n_slices=12, size=128, slice_spacing_mm=5, noise_hu=0)
    lesion = Lesion(centre=(6.0, 60.0, 45.0), diameter_mm=30.0, contrast_hu=-80.0)
    plain, planted = make_phantom(spec), make_phantom(spec, [lesion])
    change = planted.hu.astype(int) - plain.hu
    assert change[6, 60, 45] == -80
    (found,) = planted.lesions
    assert found.slices == range(3, 10)  # 15 mm to either side of slice 6
    half = np.abs(change) >= 40
    assert np.flatnonzero(half.any(axis=(1, 2))).tolist() == list(found.slices)
    for box in found.boxes:
        rows = np.flatnonzero(half[box.slice_index].any(axis=1))
        columns = np.flatnonzero(half[box.slice_index].any(axis=0))
        assert (rows[0], rows[-1] + 1) == (box.row_start, box.row_stop)
        assert (columns[0], columns[-1] + 1) == (box.column_start, box.column_stop)
    middle = found.boxes[3]
    assert (middle.row_stop - middle.row_start) * spec.pixel_mm == pytest.approx(30.0, abs=2 * spec.pixel_mm)


def test_a_lesion_outside_the_scan_has_no_boxes() -> None:
    (found,) = make_phantom(SMALL, [Lesion((99.0, 30.0, 30.0), 20.0, 80.0)]).lesions
    assert found.boxes == ()
    assert found.slices == range(0)


@pytest.mark.parametrize("seed", range(25))
def test_random_lesions_are_plain_and_lie_in_soft_tissue(seed: int) -> None:
    spec = PhantomSpec(seed=1000 + seed, n_slices=24, size=96, slice_spacing_mm=7, noise_hu=0)
    lesion = random_lesion(spec, seed)
    assert lesion == random_lesion(spec, seed)
    assert 20 <= lesion.diameter_mm <= 40
    assert 60 <= abs(lesion.contrast_hu) <= 120
    plain, planted = make_phantom(spec), make_phantom(spec, [lesion])
    inside = planted.hu.astype(int) - plain.hu != 0
    tissue = plain.hu[inside]
    assert np.mean((tissue > 30) & (tissue < 190)) > 0.9  # liver or spleen, hardly anything else
    assert not inside[0].any()
    assert not inside[-1].any()


def test_a_scan_that_is_too_short_holds_no_random_lesion() -> None:
    with pytest.raises(ValueError, match="too short"):
        random_lesion(PhantomSpec(n_slices=2), 0)


def test_impossible_specs_are_refused() -> None:
    for spec in ({"n_slices": 0}, {"size": 8}, {"slice_spacing_mm": 0.0}, {"pixel_spacing_mm": -1.0}):
        with pytest.raises(ValueError, match="phantom"):
            PhantomSpec(**spec)  # type: ignore[arg-type]  # one wrong value at a time


def test_coordinates_go_there_and_back() -> None:
    voxel = SMALL.to_voxel(*SMALL.to_body(3.5, 10.0, 40.25))
    assert voxel == pytest.approx((3.5, 10.0, 40.25))


@pytest.mark.parametrize("order", ["shuffled", "ascending", "descending"])
def test_files_are_real_ct_in_any_order_of_names(tmp_path: Path, order: str) -> None:
    phantom = make_phantom(SMALL)
    series = write_dicom(phantom, tmp_path, name_order=order)  # type: ignore[arg-type]  # one of the three
    again = write_dicom(make_phantom(SMALL), tmp_path / "again", name_order=order)  # type: ignore[arg-type]
    assert [p.read_bytes() for p in series.paths] == [p.read_bytes() for p in again.paths]
    data = pydicom.dcmread(series.paths[0])
    assert (data.Modality, data.PatientID, data.SliceThickness) == ("CT", "PHANTOM-000005", 20)
    assert np.array_equal(data.pixel_array.astype(int) - 1024, phantom.hu[0])
    grouping = group_series([read(path) for path in sorted(tmp_path.glob("*.dcm"))], ImportOptions())
    (found,) = grouping.series
    assert (found.series_uid, found.study_uid, found.warnings) == (series.series_uid, series.study_uid, ())
    assert [ref.sop_instance_uid for ref in found.stacks[0].slices] == list(series.sop_instance_uids)
    assert found.stacks[0].geometry["spacing_mm"]["distinct"] == [20.0]
    assert found.stacks[0].geometry["uniform"] is True
    names = [path.name for path in series.paths]
    assert (names == sorted(names)) is (order == "ascending")


def test_lesions_and_headers_make_other_uids(tmp_path: Path) -> None:
    plain = write_dicom(make_phantom(SMALL), tmp_path / "a")
    ill = write_dicom(make_phantom(SMALL, [Lesion((4, 30, 30), 30, 80)]), tmp_path / "b")
    renamed = write_dicom(make_phantom(SMALL), tmp_path / "c", header=PhantomHeader(patient_id="P7"))
    assert len({plain.series_uid, ill.series_uid, renamed.series_uid}) == 3
    assert renamed.patient_id == "P7"


def test_padding_outside_the_circle(tmp_path: Path) -> None:
    phantom = make_phantom(SMALL)
    series = write_dicom(phantom, tmp_path, header=PhantomHeader(signed=True, padding=True))
    stack = group_series([read(path) for path in series.paths], ImportOptions()).series[0].stacks[0]
    item = SliceLoader(tmp_path).load(stack.slices[0])
    assert stack.rescale["padding"] == [[-2000, -2000]]
    assert item.padding_count == pytest.approx((1 - np.pi / 4) * 64 * 64, rel=0.02)
    assert item.hounsfield()[0, 0] == -2048
    assert item.hounsfield()[32, 32] == phantom.hu[0, 32, 32]


def test_one_enhanced_file_holds_the_same_slices(tmp_path: Path) -> None:
    phantom = make_phantom(SMALL)
    series = write_enhanced_dicom(phantom, tmp_path / "e.dcm")
    assert pydicom.dcmread(series.paths[0]).NumberOfFrames == 8
    (found,) = group_series([read(series.paths[0])], ImportOptions()).series
    refs = found.stacks[0].slices
    assert [ref.frame_number for ref in refs] == list(range(8, 0, -1))
    loader = SliceLoader(tmp_path)
    assert np.array_equal(np.stack([loader.load(ref).hounsfield() for ref in refs]), phantom.hu)


def test_lossy_syntaxes_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTransferSyntax):
        write_dicom(make_phantom(SMALL), tmp_path, transfer_syntax="1.2.840.10008.1.2.4.50")
