from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest

from slicebank_imaging.phantom import (
    Phantom,
    PhantomHeader,
    PhantomSeries,
    PhantomSpec,
    make_phantom,
    write_dicom,
    write_enhanced_dicom,
)
from slicebank_imaging.syntaxes import JPEG_LS_LOSSLESS
from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice
from slicebank_worker.pretraining.box_table import BoxTable
from slicebank_worker.pretraining.dicom_boxes import DicomSource

N = 6


def phantom(seed: int = 0) -> Phantom:
    return make_phantom(PhantomSpec(seed=seed, n_slices=N, size=48))


def written(folder: Path, seed: int = 0, *, patient: str | None = None, name: str = "") -> PhantomSeries:
    return write_dicom(
        phantom(seed),
        folder,
        transfer_syntax=JPEG_LS_LOSSLESS if seed % 2 else "1.2.840.10008.1.2.1",
        header=PhantomHeader(patient_id=patient, name=name),
    )


def boxes(
    folder: Path, rows: Sequence[str], header: str = "sop_instance_uid,x_min,y_min,x_max,y_max,label,patient"
) -> BoxTable:
    path = folder / "boxes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    table = BoxTable(path)
    table.users = 1
    return table


def read(source: DicomSource) -> list[SourceSlice]:
    return list(source.slices())


def test_slices_are_the_phantoms_hu_from_inferior_to_superior(tmp_path: Path) -> None:
    for seed in (0, 1):
        written(tmp_path / "data" / f"study {seed}", seed)
    (tmp_path / "data" / "readme.txt").write_text("hello")
    (tmp_path / "data" / ".DS_Store").write_text("hidden")
    source = DicomSource(tmp_path / "data", workers=2)
    slices = read(source)
    assert len(slices) == 2 * N
    assert len(source) == 2 * N + 1
    for seed in (0, 1):
        own = slices[seed * N : (seed + 1) * N]
        np.testing.assert_array_equal(np.stack([one.hu for one in own]), phantom(seed).hu)
        assert [one.position for one in own] == list(range(N))
        assert len({(one.patient, one.series) for one in own}) == 1
        assert own[0].pixel_mm == pytest.approx(380 / 48)
    assert slices[0].patient != slices[-1].patient
    assert len(source.left_out) == 1
    assert source.left_out[0].startswith("readme.txt: ")


def test_boxes_find_their_slices(tmp_path: Path) -> None:
    series = written(tmp_path / "data")
    uids = series.sop_instance_uids
    table = boxes(
        tmp_path, [f"{uids[2]},1,2,30,40,cyst,", f"{uids[2]},5,6,7,8,,", f"{uids[4]},1.5,2,3,4,,", "9.9,1,2,3,4,,"]
    )
    source = DicomSource(tmp_path / "data", boxes=table, workers=2)
    slices = read(source)
    assert [len(one.boxes) for one in slices] == [0, 0, 2, 0, 1, 0]
    assert slices[2].boxes[0] == LesionBox(2, 1, 40, 30)
    assert [one.label for one in slices] == ["", "", "cyst", "", "", ""]
    assert source.left_out == ("boxes.csv, line 5: no slice 9.9 was found.",)


def test_boxes_by_series_and_instance_number_and_by_file(tmp_path: Path) -> None:
    series = written(tmp_path / "data" / "a")
    number = int(pydicom.dcmread(series.paths[3]).InstanceNumber)
    table = boxes(
        tmp_path, [f"{series.series_uid},{number},1,2,3,4"], "series_uid,instance_number,x_min,y_min,x_max,y_max"
    )
    assert [len(one.boxes) for one in read(DicomSource(tmp_path / "data", boxes=table, workers=1))] == [
        0,
        0,
        0,
        1,
        0,
        0,
    ]
    table = boxes(tmp_path, [f"a/{series.paths[1].name},1,2,3,4"], "file,x_min,y_min,x_max,y_max")
    assert [len(one.boxes) for one in read(DicomSource(tmp_path / "data", boxes=table, workers=1))] == [
        0,
        1,
        0,
        0,
        0,
        0,
    ]


def test_frames_of_an_enhanced_ct(tmp_path: Path) -> None:
    series = write_enhanced_dicom(phantom(), tmp_path / "data")
    uid = series.sop_instance_uids[0]
    table = boxes(tmp_path, [f"{uid},1,2,3,4,2"], "sop_instance_uid,x_min,y_min,x_max,y_max,frame")
    slices = read(DicomSource(tmp_path / "data", boxes=table, workers=2))
    np.testing.assert_array_equal(np.stack([one.hu for one in slices]), phantom().hu)
    assert sum(len(one.boxes) for one in slices) == 1


def test_a_table_of_other_slices_is_told_before_anything_is_decoded(tmp_path: Path) -> None:
    series = written(tmp_path / "data")
    table = boxes(tmp_path, ["9.9,1,2,3,4,,"])
    slices = DicomSource(tmp_path / "data", boxes=table, workers=1).slices()
    with pytest.raises(SourceProblem, match=r"line 2 names 9\.9; the slices are called such as 2\.25\.") as told:
        next(slices)
    assert any(uid in str(told.value) for uid in series.sop_instance_uids)


def test_patients_are_pseudonyms_that_series_share(tmp_path: Path) -> None:
    written(tmp_path / "data" / "a", 0, patient="Doe^Jane 1970")
    written(tmp_path / "data" / "b", 1, patient="Doe^Jane 1970")
    written(tmp_path / "data" / "c", 2, patient="other")
    slices = read(DicomSource(tmp_path / "data", workers=1))
    assert len({one.patient for one in slices}) == 2
    assert len({one.series for one in slices}) == 3
    assert not any("Doe" in one.patient for one in slices)


def test_the_table_may_name_the_patient(tmp_path: Path) -> None:
    first, second = written(tmp_path / "data" / "a", 0), written(tmp_path / "data" / "b", 1)
    rows = [f"{series.sop_instance_uids[0]},1,2,3,4,,P7" for series in (first, second)]
    assert (
        len({one.patient for one in read(DicomSource(tmp_path / "data", boxes=boxes(tmp_path, rows), workers=1))}) == 1
    )


def test_archives_are_read_where_they_lie(tmp_path: Path) -> None:
    series = written(tmp_path / "loose", 0)
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "study.zip", "w") as archive:
        for path in series.paths:
            archive.write(path, f"inner/{path.name}")
    written(tmp_path / "data" / "b", 1)
    table = boxes(tmp_path, [f"{series.sop_instance_uids[0]},1,2,3,4,,"])
    assert len(read(DicomSource(tmp_path / "data", workers=1))) == 2 * N
    slices = read(DicomSource(tmp_path / "data" / "study.zip", boxes=table, workers=1))
    assert [len(one.boxes) for one in slices] == [1, 0, 0, 0, 0, 0]


def test_one_file_is_a_source(tmp_path: Path) -> None:
    series = written(tmp_path / "data")
    (one,) = read(DicomSource(series.paths[2], workers=1))
    np.testing.assert_array_equal(one.hu, phantom().hu[2])


def test_damaged_files_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    series = written(tmp_path / "data", 1)
    data = series.paths[3].read_bytes()
    series.paths[3].write_bytes(data[:-200] + bytes(200))
    series.paths[4].write_bytes(series.paths[4].read_bytes()[:300])
    (tmp_path / "data" / "gone.dcm").symlink_to(tmp_path / "nowhere")
    (tmp_path / "data" / "broken.zip").write_bytes(b"PK\x03\x04 and nothing more")
    source = DicomSource(tmp_path / "data", workers=2)
    positions = len(read(source))
    assert N - 2 <= positions <= N - 1
    told = " ".join(source.left_out)
    for name in (series.paths[4].name, "gone.dcm", "broken.zip"):
        assert name in told


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match="no file"):
        DicomSource(tmp_path, workers=1)


@pytest.mark.realct
def test_real_slices_beside_scouts_and_segmentations(real_ct: Path, tmp_path: Path) -> None:
    ge = real_ct / "ct" / "ge_chest_with_scout_and_seg"
    shutil.copytree(ge / "CT_336581", tmp_path / "data" / "ge" / "scout")
    shutil.copytree(real_ct / "ct" / "siemens_abdomen_j2k_20", tmp_path / "data" / "siemens")
    for path in (*ge.glob("SEG_*.dcm"), *sorted((ge / "CT_858561").iterdir())[40:48]):
        shutil.copy(path, tmp_path / "data" / "ge")
    source = DicomSource(tmp_path / "data", workers=2)
    slices = read(source)
    assert [
        len([one for one in slices if one.patient == patient]) for patient in {one.patient: 0 for one in slices}
    ] == [8, 20]
    told = " ".join(source.left_out)
    assert "localizer" in told
    assert told.count("segmentation (SEG)") == 3
    # pydicom's own way to HU, for the slices of one series by their place along z.
    files = [pydicom.dcmread(path) for path in (tmp_path / "data" / "siemens").iterdir()]
    files.sort(key=lambda file: float(file.ImagePositionPatient[2]))
    for file, one in list(zip(files, slices[8:], strict=True))[::6]:
        expected = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
        np.testing.assert_array_equal(one.hu, np.rint(expected))
