import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID

from slicebank_imaging.grouping import group_series
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.placement import slice_digest
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from tests.imaging.making import ct_dataset, group, read, write

CORONAL = [1, 0, 0, 0, 0, -1]


def _positions(grouping_slices: tuple[SliceRef, ...]) -> list[float]:
    return [item.z_mm for item in grouping_slices]


def test_slices_are_ordered_by_position_whatever_names_and_numbers_say(tmp_path: Path) -> None:
    numbers = [7, 3, 9, 1, 5]
    grouping = group(tmp_path, [ct_dataset(z, InstanceNumber=100 - z) for z in numbers])
    stack = grouping.series[0].stacks[0]
    assert _positions(stack.slices) == [1, 3, 5, 7, 9]
    assert [item.instance_number for item in stack.slices] == [99, 97, 95, 93, 91]
    assert [item.file for item in stack.slices] == ["003.dcm", "001.dcm", "004.dcm", "000.dcm", "002.dcm"]
    assert grouping.refused == ()


def test_a_flipped_orientation_does_not_flip_the_order(tmp_path: Path) -> None:
    grouping = group(tmp_path, [ct_dataset(z, ImageOrientationPatient=[1, 0, 0, 0, -1, 0]) for z in (2, 1, 3)])
    assert _positions(grouping.series[0].stacks[0].slices) == [1, 2, 3]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), count=st.integers(1, 8))
def test_the_order_of_files_changes_nothing(tmp_path: Path, seed: int, count: int) -> None:
    chance = random.Random(seed)
    datasets = [ct_dataset(z) for z in range(count)]
    plain = group(tmp_path, datasets).series[0]
    chance.shuffle(datasets)
    shuffled = group(tmp_path, datasets).series[0]
    assert shuffled.stacks[0].slice_digests == plain.stacks[0].slice_digests
    assert shuffled.stacks[0].geometry == plain.stacks[0].geometry


def test_digests_hold_pixels_header_and_options_but_no_names(tmp_path: Path) -> None:
    def digest(data: Dataset, options: ImportOptions | None = None, name: str = "a") -> str:
        options = options or ImportOptions()
        header = read(write(tmp_path / name, data), options=options)
        return group_series([header], options).series[0].stacks[0].slice_digests[0]

    plain = digest(ct_dataset())
    assert digest(ct_dataset(), name="another") == plain
    assert digest(ct_dataset(PatientID="someone else")) == plain
    others = [
        digest(ct_dataset(PixelData=bytes(160))),
        digest(ct_dataset(SOPInstanceUID=UID("1.2.9"))),
        digest(ct_dataset(ImagePositionPatient=[0, 0, 2])),
        digest(ct_dataset(RescaleIntercept="-1")),
        digest(ct_dataset(), ImportOptions(force_not_hu=True)),
    ]
    assert len({plain, *others}) == 6


def test_a_duplicate_is_dropped_with_a_note(tmp_path: Path) -> None:
    grouping = group(tmp_path, [ct_dataset(1), ct_dataset(2), ct_dataset(1)])
    assert len(grouping.series[0].stacks[0].slices) == 2
    assert [(item.file, item.code) for item in grouping.refused] == [("002.dcm", "duplicate_slice")]


def test_acquisitions_and_image_types_are_one_stack_unless_they_repeat(tmp_path: Path) -> None:
    datasets = [
        ct_dataset(z, AcquisitionNumber=z, ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "ADD" if z < 4 else "X"])
        for z in range(1, 8)
    ]
    assert [len(stack.slices) for stack in group(tmp_path, datasets).series[0].stacks] == [7]


def _again(z: int, phase: int, **changes: Any) -> Dataset:
    return ct_dataset(z + 100 * phase, ImagePositionPatient=[0, 0, z], InstanceNumber=z + 10 * phase, **changes)


@pytest.mark.parametrize("attribute", ["AcquisitionNumber", "AcquisitionTime", "ImageType", None])
def test_repeated_positions_make_phases(tmp_path: Path, attribute: str | None) -> None:
    def changes(phase: int) -> dict[str, Any]:
        values = {
            "AcquisitionNumber": 3 + phase,
            "AcquisitionTime": f"10000{phase}",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", f"PHASE{phase}"],
        }
        return {} if attribute is None else {attribute: values[attribute]}

    datasets = [_again(z, phase, **changes(phase)) for z in range(5) for phase in (2, 0, 1)]
    series = group(tmp_path, datasets).series[0]
    assert [_positions(stack.slices) for stack in series.stacks] == [[0, 1, 2, 3, 4]] * 3
    phases = [{(item.instance_number or 0) // 10 for item in stack.slices} for stack in series.stacks]
    assert phases == [{0}, {1}, {2}]
    assert any("3 stacks" in warning for warning in series.warnings)


def test_acquisitions_of_two_passes_stay_together(tmp_path: Path) -> None:
    """A head CT in steps of one acquisition each, done twice: two stacks, not one for each acquisition."""
    datasets = [_again(z, phase, AcquisitionNumber=1 + z + 10 * phase) for phase in (0, 1) for z in range(6)]
    series = group(tmp_path, datasets).series[0]
    assert [sorted((item.instance_number or 0) // 10 for item in stack.slices) for stack in series.stacks] == [
        [0] * 6,
        [1] * 6,
    ]


def test_the_default_is_the_largest_axial_stack_then_the_first_acquisition(tmp_path: Path) -> None:
    coronal = [ct_dataset(50 + y, ImagePositionPatient=[0, y, 0], ImageOrientationPatient=CORONAL) for y in range(6)]
    late = [_again(z, 2, AcquisitionNumber=9) for z in range(4)]
    early = [_again(z, 0, AcquisitionNumber=2) for z in range(4)]
    other_matrix = [
        ct_dataset(80 + z, Rows=10, Columns=8, ImagePositionPatient=[0, 0, z], AcquisitionNumber=1) for z in range(3)
    ]
    series = group(tmp_path, coronal + late + early + other_matrix).series[0]
    assert [(stack.axial, len(stack.slices)) for stack in series.stacks] == [
        (True, 4),
        (True, 4),
        (True, 3),
        (False, 6),
    ]
    default = series.stacks[series.default_stack]
    assert {item.instance_number for item in default.slices} == {0, 1, 2, 3}
    assert [stack.stack for stack in series.stacks] == [0, 1, 2, 3]
    assert (series.stacks[2].rows, series.stacks[2].columns) == (10, 8)


def test_wholly_coronal_series_are_refused_file_by_file(tmp_path: Path) -> None:
    coronal = [ct_dataset(y, ImagePositionPatient=[0, y, 0], ImageOrientationPatient=CORONAL) for y in range(3)]
    grouping = group(tmp_path, coronal)
    assert grouping.series == ()
    assert [item.code for item in grouping.refused] == ["not_axial"] * 3
    (verdict,) = grouping.refused_series
    assert (verdict.code, verdict.tag, verdict.n_files) == ("not_axial", "(0020,0037) ImageOrientationPatient", 3)


def test_series_and_studies_are_kept_apart(tmp_path: Path) -> None:
    other = {"SeriesInstanceUID": UID("1.2.3.77"), "StudyInstanceUID": UID("1.2.3.78")}
    grouping = group(tmp_path, [ct_dataset(1), ct_dataset(2, **other), ct_dataset(3)])
    assert [(item.series_uid, item.study_uid, len(item.stacks[0].slices)) for item in grouping.series] == [
        ("1.2.3.2", "1.2.3.1", 2),
        ("1.2.3.77", "1.2.3.78", 1),
    ]


def test_one_slice_needs_no_position(tmp_path: Path) -> None:
    grouping = group(tmp_path, [ct_dataset(1, ImagePositionPatient=None)])
    assert len(grouping.series[0].stacks[0].slices) == 1
    assert grouping.series[0].stacks[0].geometry["source"] == "single"


def test_several_slices_fall_back_on_slice_location(tmp_path: Path) -> None:
    datasets = [ct_dataset(n, ImagePositionPatient=None, SliceLocation=str(10 - n)) for n in range(4)]
    series = group(tmp_path, datasets).series[0]
    assert _positions(series.stacks[0].slices) == [7, 8, 9, 10]
    assert series.stacks[0].geometry["source"] == "slice_location"
    assert "SliceLocation" in series.warnings[0]


def test_several_slices_without_any_position_are_refused(tmp_path: Path) -> None:
    grouping = group(tmp_path, [ct_dataset(n, ImagePositionPatient=None) for n in range(3)])
    assert grouping.series == ()
    assert [item.code for item in grouping.refused] == ["no_position"] * 3
    assert {item.tag for item in grouping.refused} == {"(0020,0032) ImagePositionPatient"}
    assert [(verdict.code, verdict.n_files) for verdict in grouping.refused_series] == [("no_position", 3)]


def test_one_slice_without_position_does_not_spoil_the_others(tmp_path: Path) -> None:
    grouping = group(tmp_path, [ct_dataset(1), ct_dataset(2, ImagePositionPatient=None), ct_dataset(3)])
    assert len(grouping.series[0].stacks[0].slices) == 2
    assert [(item.file, item.code) for item in grouping.refused] == [("001.dcm", "no_position")]


def _nameless(number: int, **changes: Any) -> Dataset:
    return ct_dataset(number, SeriesInstanceUID="", StudyInstanceUID="", **changes)


def test_files_without_uids_form_a_series_by_folder_and_matrix(tmp_path: Path) -> None:
    headers = []
    for number, folder in enumerate(["a", "a", "b", "a"]):
        path = write(tmp_path / f"{number}", _nameless(number))
        headers.append(read(path, name=f"upload/{folder}/{number}"))
    wide = write(tmp_path / "9", _nameless(9, Rows=10, Columns=8))
    headers.append(read(wide, name="upload/a/9"))
    grouping = group_series(headers, ImportOptions())
    assert sorted(len(item.stacks[0].slices) for item in grouping.series) == [1, 1, 3]
    for series in grouping.series:
        assert series.derived_uids
        assert series.series_uid.startswith("2.25.")
        assert series.study_uid.startswith("2.25.")
        assert any("2.25" in warning for warning in series.warnings)
    again = group_series(list(reversed(headers)), ImportOptions())
    assert {item.series_uid for item in again.series} == {item.series_uid for item in grouping.series}


def test_series_with_uids_are_not_called_derived(tmp_path: Path) -> None:
    assert not group(tmp_path, [ct_dataset(1)]).series[0].derived_uids
    assert group(tmp_path, [ct_dataset(1, StudyInstanceUID="")]).series[0].derived_uids


def test_rescale_and_field_of_view_are_summed_up(tmp_path: Path) -> None:
    same = group(tmp_path, [ct_dataset(n, RescaleIntercept="-1024", PixelPaddingValue=-2000) for n in range(3)])
    stack = same.series[0].stacks[0]
    assert stack.rescale == {
        "slope": 1.0,
        "intercept": -1024.0,
        "per_slice": False,
        "assumed": False,
        "rounded_to_hu": None,
        "padding": [[-2000, -2000]],
    }
    assert stack.field_of_view_mm == 8.0  # 10 columns of 0.8 mm against 8 rows of 0.7 mm
    varied = group(tmp_path, [ct_dataset(n, RescaleSlope=str(1 + n), PixelSpacing=None) for n in range(3)])
    assert varied.series[0].stacks[0].rescale["per_slice"] is True
    assert varied.series[0].stacks[0].field_of_view_mm == 10.0
    assert any("PixelSpacing" in warning for warning in varied.series[0].warnings)


def test_slice_references_survive_json() -> None:
    for padding in (None, (-3024, -2000)):
        ref = SliceRef("000001", 3, "1.2.3", 7, -12.5, 1.0, -1024.0, padding)
        assert SliceRef.from_dict(ref.as_dict()) == ref


def test_little_endian_syntaxes_give_the_same_slices(tmp_path: Path) -> None:
    """Senders change between them as they please."""
    syntaxes = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    headers = [read(write(tmp_path / syntax, ct_dataset(1), syntax)) for syntax in syntaxes]
    first, second = (slice_digest(header, header.frames[0], ImportOptions()) for header in headers)
    assert first == second


def test_stacks_do_not_depend_on_what_files_are_called(tmp_path: Path) -> None:
    """Equal in everything that orders them but their pixels."""
    found = set()
    for order in ((1, 2), (2, 1)):
        data = [ct_dataset(1, PixelData=bytes([content] * 160)) for content in order]
        (series,) = group(tmp_path / str(order), data).series
        found.add(tuple(stack.slice_digests for stack in series.stacks))
    assert len(found) == 1
