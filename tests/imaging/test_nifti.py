"""NIfTI volumes: turned as nibabel turns them, judged, and read slice by slice."""

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slicebank_imaging.errors import ImagingError, TooManyPixels
from slicebank_imaging.grouping import CTSeries, group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.stacks import Stack
from tests.imaging.making import read, refusal

FORCED = ImportOptions(force_not_hu=True)
DIRECTIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def ct_volume(shape: tuple[int, ...] = (5, 4, 3)) -> NDArray[np.int16]:
    """Every voxel another value, from -1000 upwards."""
    size = int(np.prod(shape))
    return (np.arange(size).reshape(shape) * (1800 // size) - 1000).astype(np.int16)


def affine_of(order: tuple[int, ...], signs: tuple[int, ...]) -> NDArray[np.float64]:
    """Voxel axis i runs along patient axis order[i], forwards or backwards; 0.7, 0.8 and 2.5 mm."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel, (patient, sign) in enumerate(zip(order, signs, strict=True)):
        affine[patient, voxel] = sign * (0.7, 0.8, 2.5)[voxel]
    affine[:3, 3] = (-100.5, 20.25, 300)
    return affine


def save(
    path: Path,
    voxels: NDArray[Any],
    affine: NDArray[Any] | None = None,
    *,
    version: int = 1,
    order: str = "<",
    **fields: Any,
) -> Path:
    """Write a volume with nibabel; `fields` are set in the header as it lies in the file."""
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    header = (nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header)(endianness=order)
    header.set_data_dtype(voxels.dtype)
    image = kind(voxels, affine_of((0, 1, 2), (1, 1, 1)) if affine is None else affine, header=header)
    content = bytearray(image.to_bytes())
    size = 348 if version == 1 else 540
    raw = (nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header)(bytes(content[:size]), order, check=False)
    for name, value in fields.items():
        raw[name] = value
    content[:size] = raw.binaryblock
    path.write_bytes(content)
    return path


def take(path: Path, options: ImportOptions | None = None) -> tuple[CTSeries, Stack, NDArray[np.float32]]:
    """The series, its stack, and (slices, rows, columns) in HU."""
    options = options or ImportOptions()
    (series,) = group_series([read(path, options=options)], options).series
    (stack,) = series.stacks
    loader = SliceLoader(path.parent)
    return series, stack, np.stack([loader.load(ref).hounsfield() for ref in stack.slices])


def canonical(path: Path) -> NDArray[np.float64]:
    """What nibabel makes of the file, as (slices up, rows back, columns left)."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    values = np.asarray(image.get_fdata())
    values = values.reshape(values.shape[:3])
    return values.transpose(2, 1, 0)[:, ::-1, ::-1]


@pytest.mark.parametrize(("order", "signs"), DIRECTIONS)
@pytest.mark.parametrize("version", [1, 2])
def test_every_axis_order_and_flip(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...], version: int
) -> None:
    path = save(tmp_path / "x.nii", ct_volume(), affine_of(order, signs), version=version)
    _, stack, hu = take(path)
    assert np.array_equal(hu, canonical(path))
    assert np.all(np.diff([ref.z_mm for ref in stack.slices]) > 0)
    assert stack.geometry["orientation"] == [1, 0, 0, 0, 1, 0]
    spacing = dict(zip(order, (0.7, 0.8, 2.5), strict=True))
    assert stack.geometry["pixel_spacing_mm"] == [spacing[1], spacing[0]]
    assert stack.geometry["spacing_mm"]["distinct"] == [spacing[2]]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    kind=st.sampled_from(["i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "u1"]),
    order=st.sampled_from("<>"),
    version=st.sampled_from([1, 2]),
    direction=st.sampled_from(DIRECTIONS),
    turn=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
)
def test_values_and_places_equal_those_of_nibabel(
    tmp_path: Path,
    data: st.DataObject,
    shape: tuple[int, int, int],
    kind: str,
    order: str,
    version: int,
    direction: Any,
    turn: tuple[float, float, float],
) -> None:
    slope, intercept = data.draw(st.sampled_from([(1.0, 0.0), (0.0, 5.0), (0.5, -100.0), (2.0, -1024.0)]))
    numbers = np.random.default_rng(data.draw(st.integers(0, 99)))
    low, high = (0, 127) if kind.endswith("1") else (0, 3000)
    voxels = numbers.integers(low, high, shape).astype(kind)
    affine = affine_of(*direction)
    affine[:3, :3] = nibabel.eulerangles.euler2mat(*turn) @ affine[:3, :3]
    path = save(tmp_path / "x.nii", voxels, affine, version=version, order=order, scl_slope=slope, scl_inter=intercept)
    _, stack, hu = take(path, FORCED)
    expected = canonical(path)
    assert np.array_equal(hu, expected if kind[1] in "12" else np.rint(expected))
    assert stack.rescale["rounded_to_hu"] == (None if kind[1] in "12" else 1.0)
    header = read(path, options=FORCED)
    first = nibabel.as_closest_canonical(nibabel.load(path)).affine @ (*(np.array(hu.shape[:0:-1]) - 1), 0, 1)
    lowest = header.frames[stack.slices[0].frame_number - 1]
    assert lowest.position == pytest.approx(first[:3] * (-1, -1, 1), abs=1e-3)


def test_oblique_volumes_say_their_angle(tmp_path: Path) -> None:
    affine = affine_of((0, 1, 2), (1, 1, 1))
    affine[:3, :3] = nibabel.eulerangles.euler2mat(x=np.radians(12)) @ affine[:3, :3]
    _, stack, _ = take(save(tmp_path / "x.nii", ct_volume(), affine))
    assert stack.geometry["normal_angle_deg"] == pytest.approx(12, abs=0.01)
    assert stack.geometry["orientation_name"] == "oblique"
    assert stack.geometry["spacing_mm"]["distinct"] == [2.5]


def test_floats_are_rounded_and_nan_is_padding(tmp_path: Path) -> None:
    voxels = ct_volume().astype(np.float32) + 0.3
    voxels[1, 1, 1] = np.nan
    series, stack, hu = take(save(tmp_path / "x.nii", voxels))
    assert stack.rescale["rounded_to_hu"] == 1.0
    assert stack.rescale["padding"] == [[-32768, -32768]]
    assert any("1 voxels are NaN" in warning for warning in series.warnings)
    expected = np.rint(np.where(np.isnan(voxels), -2048, voxels)).transpose(2, 1, 0)[:, ::-1, ::-1]
    assert np.array_equal(hu, expected)


def test_one_volume_of_a_fourth_axis_and_flat_files_are_taken(tmp_path: Path) -> None:
    flat = ct_volume((5, 4, 1))
    for voxels in (flat[..., None], flat[..., None, None], flat, flat[..., 0]):
        path = save(tmp_path / "x.nii", voxels)
        _, _, hu = take(path)
        assert np.array_equal(hu[0], flat[..., 0].T[::-1, ::-1])


def test_the_scale_may_be_assumed_where_there_is_none(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", (ct_volume() + 1000).astype(np.uint16))
    assert refusal(path).code == "not_hu"
    series, stack, hu = take(path, ImportOptions((1.0, -1000.0)))
    assert np.array_equal(hu, ct_volume().transpose(2, 1, 0)[:, ::-1, ::-1])
    assert stack.rescale["assumed"]
    assert "rescale slope and intercept were assumed by the sender" in series.warnings


def test_uids_depend_on_content_alone(tmp_path: Path) -> None:
    first = read(save(tmp_path / "a.nii", ct_volume()), name="one/a.nii")
    again = read(save(tmp_path / "b.nii", ct_volume(), descrip=b"DOE JOHN"), name="two/b.nii")
    other = read(save(tmp_path / "c.nii", ct_volume() + 1), name="one/c.nii")
    moved = affine_of((0, 1, 2), (1, 1, 1))
    moved[2, 3] += 1
    elsewhere = read(save(tmp_path / "d.nii", ct_volume(), moved), name="one/d.nii")
    assert first.series_uid == again.series_uid
    assert len({header.series_uid for header in (first, other, elsewhere)}) == 3
    assert first.series_uid.startswith("2.25.")
    assert len(group_series([first, again, other, elsewhere], ImportOptions()).series) == 3


@pytest.mark.parametrize(
    ("voxels", "fields", "code"),
    [
        (np.zeros((5, 4, 3), np.uint8), {}, "not_hu"),
        (np.arange(60, dtype=np.uint8).reshape(5, 4, 3) * 4, {}, "not_hu"),
        (np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 4, 3), {}, "not_hu"),
        (np.linspace(-3, 3, 60, dtype=np.float32).reshape(5, 4, 3), {}, "not_hu"),
        (np.full((5, 4, 3), np.nan, np.float32), {}, "not_hu"),
        (np.where(ct_volume() > 500, np.inf, ct_volume()).astype(np.float32), {}, "bad_header"),
        (ct_volume().astype(np.float32) * 1000, {}, "bad_header"),
        (ct_volume((5, 4, 3, 2)), {}, "several_volumes"),
        (ct_volume(), {"sform_code": 0, "qform_code": 0}, "no_orientation"),
        (ct_volume(), {"sform_code": 1, "srow_x": [0, 0, 0, 0], "qform_code": 0}, "bad_header"),
        (ct_volume(), {"srow_x": [np.nan, 0, 0, 0], "qform_code": 0}, "bad_header"),
        (ct_volume(), {"srow_y": [0.7, 0.7, 0, 0], "qform_code": 0}, "bad_header"),
        (ct_volume(), {"scl_slope": np.inf}, "bad_header"),
        (ct_volume(), {"scl_slope": 2, "scl_inter": np.nan}, "bad_header"),
        (ct_volume(), {"scl_slope": 1e30}, "bad_header"),
        (ct_volume(), {"scl_slope": 1, "scl_inter": -1e30}, "bad_header"),
        (np.where(ct_volume() > 500, 1e308, ct_volume()), {"scl_slope": 10}, "bad_header"),
        (np.where(ct_volume() > 500, -1e308, ct_volume()), {"scl_slope": 10}, "bad_header"),
        (ct_volume(), {"datatype": 32}, "bad_header"),
        (ct_volume(), {"datatype": 128}, "not_grayscale"),
        (ct_volume(), {"dim": [3, 5, 0, 3, 1, 1, 1, 1]}, "bad_header"),
        (ct_volume(), {"dim": [3, 5, -4, 3, 1, 1, 1, 1]}, "bad_header"),
        (ct_volume(), {"dim": [9, 5, 4, 3, 1, 1, 1, 1]}, "bad_header"),
        (ct_volume(), {"dim": [3, 5, 4, 300, 1, 1, 1, 1]}, "truncated_file"),
        (ct_volume(), {"vox_offset": np.nan}, "bad_header"),
        (ct_volume(), {"vox_offset": 7}, "bad_header"),
        (ct_volume(), {"vox_offset": 1e6}, "truncated_file"),
        (ct_volume(), {"magic": b"ni1"}, "bad_header"),
    ],
)
def test_refusals(tmp_path: Path, voxels: NDArray[Any], fields: dict[str, Any], code: str) -> None:
    error = refusal(save(tmp_path / "x.nii", voxels, **fields))
    assert error.code == code
    assert error.tag is None
    assert error.detail


def test_grey_levels_can_be_forced(tmp_path: Path) -> None:
    voxels = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    _, stack, hu = take(save(tmp_path / "x.nii", voxels), FORCED)
    assert np.array_equal(hu, voxels.transpose(2, 1, 0)[:, ::-1, ::-1])
    assert len(stack.slices) == 3


def test_qform_serves_where_the_sform_is_missing_or_useless(tmp_path: Path) -> None:
    for fields in ({"sform_code": 0}, {"sform_code": 1, "srow_z": [np.nan, 0, 0, 0]}):
        header = nibabel.Nifti1Header()
        header.set_qform(affine_of((0, 1, 2), (-1, -1, 1)), code=1)
        quaternion = {name: float(header[name]) for name in ("quatern_b", "quatern_c", "quatern_d")}
        offsets = {f"qoffset_{axis}": float(header[f"qoffset_{axis}"]) for axis in "xyz"}
        path = save(tmp_path / "x.nii", ct_volume(), qform_code=1, **fields, **quaternion, **offsets)
        _, _, hu = take(path)
        assert np.array_equal(hu, ct_volume().transpose(2, 1, 0))


def test_units_are_those_of_the_header(tmp_path: Path) -> None:
    metres = affine_of((0, 1, 2), (1, 1, 1))
    metres[:3] /= 1000
    _, stack, _ = take(save(tmp_path / "x.nii", ct_volume(), metres, xyzt_units=1))
    assert stack.geometry["pixel_spacing_mm"] == [0.8, 0.7]
    assert refusal(save(tmp_path / "y.nii", ct_volume(), affine_of((0, 1, 2), (1, 1, 1)) / 2e3)).code == "bad_header"


def test_affines_that_disagree_are_named(tmp_path: Path) -> None:
    series, _, _ = take(save(tmp_path / "x.nii", ct_volume(), qform_code=1, quatern_d=1.0))
    assert "sform and qform disagree; the sform is used" in series.warnings


def test_size_limits_hold(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", ct_volume())
    with pytest.raises(TooManyPixels):
        read_file_header(path, file="x", name="x", options=ImportOptions(), limits=IntakeLimits(max_pixels=59))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    damage=st.lists(st.tuples(st.integers(0, 543), st.integers(0, 255)), max_size=6),
    version=st.sampled_from([1, 2]),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_volumes(tmp_path: Path, damage: list[tuple[int, int]], version: int, keep: float) -> None:
    content = bytearray(save(tmp_path / "good.nii", ct_volume(), version=version).read_bytes())
    for where, value in damage:
        if where < len(content):
            content[where] = value
    path = tmp_path / "x.nii"
    path.write_bytes(content[: round(keep * len(content))])
    try:  # a verdict or slices, and never a warning
        header = read(path, options=FORCED)
        for series in group_series([header], FORCED).series:
            for stack in series.stacks:
                for ref in stack.slices:
                    assert SliceLoader(tmp_path).load(ref).hounsfield().shape == (stack.rows, stack.columns)
    except ImagingError:
        return


@pytest.mark.realct
@pytest.mark.parametrize(("name", "count"), [("lung1_image", 48), ("example_ct_sm", 30)])
def test_real_volumes_equal_nibabel(tmp_path: Path, real_ct: Path, name: str, count: int) -> None:
    path = tmp_path / "x.nii"
    path.write_bytes(gzip.decompress((real_ct / "nifti" / f"{name}.nii.gz").read_bytes()))
    _, stack, hu = take(path)
    assert len(stack.slices) == count
    assert np.array_equal(hu, canonical(path))


@pytest.mark.realct
@pytest.mark.parametrize("name", ["lung1_label", "example_seg"])
def test_real_label_masks_are_refused(tmp_path: Path, real_ct: Path, name: str) -> None:
    path = tmp_path / "x.nii"
    path.write_bytes(gzip.decompress((real_ct / "nifti" / f"{name}.nii.gz").read_bytes()))
    assert refusal(path).code == "not_hu"
