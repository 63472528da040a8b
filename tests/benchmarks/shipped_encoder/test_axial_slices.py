from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import dcmwrite

from benchmarks.shipped_encoder.axial_slices import COLLECTION, collection_of, read_dicom, reason_against, taken
from tests.benchmarks.shipped_encoder.making import SIDE, TITLE, tcia_slice
from tests.imaging.making import EXPLICIT_VR_LITTLE_ENDIAN, write


def through_a_file(data: Any, syntax: str, tmp_path: Any) -> Any:
    return read_dicom(write(tmp_path / "a.dcm", data, syntax).read_bytes())


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2"])
def test_an_axial_slice_of_the_collection_is_taken(syntax: str, tmp_path: Any) -> None:
    data = through_a_file(tcia_slice(3, Manufacturer="A", ManufacturerModelName="B"), syntax, tmp_path)
    assert reason_against(data, TITLE) == ""
    item = taken(data, collection="a", repository="o/n", commit="c", path="d/3.dcm")
    assert (item.position, item.orientation) == ((0, 0, 3), (1, 0, 0, 0, 1, 0))
    assert (item.shape, item.scanner, item.patient) == ((SIDE, SIDE), "A B", "P1")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Modality": "SEG"}, "modality SEG"),
        ({"PixelData": None}, "modality CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImagePositionPatient": None}, "no geometry"),
        ({"ImageOrientationPatient": None}, "no geometry"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not axial"),
        ({"RescaleSlope": None}, "no rescale slope"),
        ({"PatientBirthDate": "19500101"}, "states a birth date"),
        ({"PixelData": b"\0" * 100}, "cannot be decoded"),
    ],
)
def test_other_files_are_left_out(changes: dict[str, Any], reason: str, tmp_path: Any) -> None:
    data = through_a_file(tcia_slice(**changes), EXPLICIT_VR_LITTLE_ENDIAN, tmp_path)
    assert reason_against(data, TITLE).startswith(reason)


def test_a_tilted_gantry_is_axial(tmp_path: Any) -> None:
    data = tcia_slice(ImageOrientationPatient=[1, 0, 0, 0, 0.866, 0.5])
    assert reason_against(through_a_file(data, EXPLICIT_VR_LITTLE_ENDIAN, tmp_path), TITLE) == ""


def test_a_slice_of_another_collection_is_left_out() -> None:
    assert reason_against(tcia_slice(), "Another") == f"of collection {TITLE!r}"


def test_collections_end_before_padding() -> None:
    data = tcia_slice()
    del data[COLLECTION]
    assert collection_of(data) == ""
    data.add_new(COLLECTION, "UN", b"QIN LUNG CT\x00")
    assert collection_of(data) == "QIN LUNG CT"


def test_what_is_no_dicom_is_left_out() -> None:
    stream = io.BytesIO()
    dcmwrite(stream, tcia_slice(), implicit_vr=True, little_endian=True)
    assert read_dicom(stream.getvalue()) is not None, "files without preamble are read"
    data = read_dicom(b"hello" * 100)
    assert data is None or reason_against(data, TITLE)
