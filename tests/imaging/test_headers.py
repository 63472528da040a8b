import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID

from slicebank_imaging.headers import FileHeader
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.syntaxes import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, JPEG_LS_LOSSLESS
from tests.imaging.making import ct_dataset, ramp, read, refusal, write

STORAGE = "1.2.840.10008.5.1.4.1.1."


def test_a_plain_slice_is_read_whole(tmp_path: Path) -> None:
    data = ct_dataset(3, PatientSex="F", PatientAge="042Y", BodyPartExamined="CHEST", AcquisitionTime="101112.5")
    header = read(write(tmp_path / "x.dcm", data), name="study/a/x.dcm")
    frame = header.frames[0]
    assert (header.study_uid, header.series_uid, header.folder) == ("1.2.3.1", "1.2.3.2", "study/a")
    assert (header.patient_id, header.patient_sex, header.body_part) == ("P1", "F", "CHEST")
    assert (frame.sop_instance_uid, frame.frame_number, frame.instance_number) == ("1.2.3.3.3", 1, 3)
    assert frame.position == (0.0, 0.0, 3.0)
    assert frame.orientation == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert (frame.rows, frame.columns, frame.pixel_spacing, frame.slice_thickness) == (8, 10, (0.7, 0.8), 1.0)
    assert (frame.slope, frame.intercept, frame.rescale_assumed, frame.padding) == (1.0, 0.0, False, None)
    assert (frame.acquisition_number, frame.acquisition_time) == (1, "101112.5")
    assert frame.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert header.sha256_pixels == hashlib.sha256(data.PixelData).hexdigest()


@pytest.mark.parametrize("syntax", [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN])
def test_the_header_does_not_depend_on_its_encoding(tmp_path: Path, syntax: str) -> None:
    plain = read(write(tmp_path / "a", ct_dataset(PixelPaddingValue=-2000)))
    other = read(write(tmp_path / "a", ct_dataset(PixelPaddingValue=-2000), syntax))
    assert other.frames == plain.frames
    assert other.transfer_syntax == syntax


def test_a_file_without_preamble_is_tried(tmp_path: Path) -> None:
    whole = write(tmp_path / "x", ct_dataset()).read_bytes()
    (tmp_path / "meta").write_bytes(whole[132:])
    assert read(tmp_path / "meta").frames[0].sop_instance_uid == "1.2.3.3.1"
    implicit = write(tmp_path / "y", ct_dataset(), IMPLICIT_VR_LITTLE_ENDIAN).read_bytes()
    start = implicit.index(b"\x08\x00\x08\x00")  # the data set itself, without file meta information
    (tmp_path / "bare").write_bytes(implicit[start:])
    assert read(tmp_path / "bare").frames[0].position == (0.0, 0.0, 1.0)
    assert read(tmp_path / "bare").transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN


def test_a_wrongly_declared_native_encoding_is_seen_through(tmp_path: Path) -> None:
    explicit, implicit = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"
    content = write(tmp_path / "x", ct_dataset()).read_bytes()
    (tmp_path / "x").write_bytes(content.replace(explicit, implicit))
    assert read(tmp_path / "x").transfer_syntax == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"SOPClassUID": UID(STORAGE + "88.11"), "Modality": "SR"}, "not_an_image", "structured report"),
        ({"SOPClassUID": UID(STORAGE + "88.67"), "Modality": "SR"}, "not_an_image", "dose report"),
        ({"SOPClassUID": UID(STORAGE + "66.4"), "Modality": "SEG"}, "not_an_image", "SEG"),
        ({"SOPClassUID": UID(STORAGE + "481.3"), "Modality": "RTSTRUCT"}, "not_an_image", "RTSTRUCT"),
        ({"SOPClassUID": UID(STORAGE + "11.1"), "Modality": "PR"}, "not_an_image", "presentation state"),
        ({"SOPClassUID": UID("1.2.840.10008.1.3.10")}, "not_an_image", "DICOMDIR"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "not_an_image", "secondary capture"),
        ({"SOPClassUID": UID(STORAGE + "7"), "RescaleSlope": None}, "not_an_image", "secondary capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer", "scout"),
        ({"Modality": "MR", "SOPClassUID": UID(STORAGE + "4")}, "not_ct", "MR"),
        ({"Modality": "PT"}, "not_ct", "PT"),
        ({"SOPClassUID": UID(STORAGE + "128")}, "not_ct", "Positron"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "not_grayscale", "RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not_grayscale", "PALETTE"),
        ({"PixelData": None}, "no_pixel_data", "no pixels"),
        ({"RescaleSlope": None, "RescaleIntercept": None}, "missing_rescale", "assume_rescale"),
        ({"RescaleSlope": None}, "bad_header", "Rescale"),
        ({"RescaleSlope": "0"}, "bad_header", "Rescale"),
        ({"RescaleType": "MGML"}, "not_hu", "force=not_hu"),
        ({"Rows": 0}, "bad_header", "Rows"),
        ({"Rows": None}, "bad_header", "Rows"),
        ({"BitsAllocated": 12}, "bad_header", "BitsAllocated"),
        ({"BitsStored": 20}, "bad_header", "bits"),
        ({"HighBit": 3}, "bad_header", "high bit"),
        ({"PixelRepresentation": 7}, "bad_header", "PixelRepresentation"),
        ({"NumberOfFrames": 0}, "bad_header", "NumberOfFrames"),
        ({"ImagePositionPatient": [0, 0, "9e9"]}, "bad_header", "ImagePositionPatient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "bad_header", "ImageOrientationPatient"),
        ({"SeriesInstanceUID": UID("1.2")}, None, ""),
    ],
)
def test_verdicts_by_header(tmp_path: Path, changes: dict[str, Any], code: str | None, words: str) -> None:
    path = write(tmp_path / "x.dcm", ct_dataset(**changes))
    if code is None:
        assert read(path).series_uid == "1.2"
        return
    error = refusal(path)
    assert (error.code, words.lower() in error.detail.lower()) == (code, True), error.detail


def test_options_open_what_the_header_leaves_unsaid(tmp_path: Path) -> None:
    path = write(tmp_path / "x", ct_dataset(RescaleSlope=None, RescaleIntercept=None))
    frame = read(path, options=ImportOptions((2.0, -1024.0))).frames[0]
    assert (frame.slope, frame.intercept, frame.rescale_assumed) == (2.0, -1024.0, True)
    path = write(tmp_path / "y", ct_dataset(RescaleType="MGML"))
    assert read(path, options=ImportOptions(force_not_hu=True)).frames[0].slope == 1.0
    gray = np.zeros(80, np.uint8).tobytes()
    path = write(
        tmp_path / "z", ct_dataset(BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, PixelData=gray)
    )
    assert refusal(path).code == "not_hu"
    assert read(path, options=ImportOptions(force_not_hu=True)).layout.bits_allocated == 8


def test_missing_modality_is_made_up_for_by_class_or_pixels(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a", ct_dataset(Modality=None))).modality == "CT"
    bare = ct_dataset(Modality=None, SOPClassUID=None)
    assert read(write(tmp_path / "b", bare, meta_class="1.2.3")).frames  # the pixels reach down to air
    bright = ct_dataset(Modality=None, SOPClassUID=None, PixelData=np.full(80, 500, np.int16).tobytes())
    assert refusal(write(tmp_path / "c", bright, meta_class="1.2.3")).code == "not_ct"
    bright.RescaleType = "HU"
    assert read(write(tmp_path / "d", bright, meta_class="1.2.3")).frames
    bright.Modality = "SEG"
    assert "SEG" in refusal(write(tmp_path / "e", bright, meta_class="1.2.3")).detail


def test_missing_instance_uid_comes_from_meta_or_from_content(tmp_path: Path) -> None:
    header = read(write(tmp_path / "a", ct_dataset(SOPInstanceUID=None), meta_uid="1.2.77"))
    assert (header.frames[0].sop_instance_uid, header.sop_uid_derived) == ("1.2.77", True)
    content = (tmp_path / "a").read_bytes()[132:]
    start = content.index(b"\x08\x00\x08\x00")
    (tmp_path / "b").write_bytes(content[start:])
    derived = read(tmp_path / "b")
    assert derived.frames[0].sop_instance_uid.startswith("2.25.")
    assert derived.frames[0].sop_instance_uid == read(tmp_path / "b").frames[0].sop_instance_uid


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/3", "a b", "-1", "1" * 63 + "/"])
def test_uids_that_cannot_name_anything_are_refused(tmp_path: Path, uid: str) -> None:
    content = write(tmp_path / "x", ct_dataset(SeriesInstanceUID=UID("9" * 64))).read_bytes()
    (tmp_path / "x").write_bytes(content.replace(b"9" * 64, uid.encode().ljust(64, b"\0")))
    assert refusal(tmp_path / "x").code == "bad_header"


@pytest.mark.parametrize(
    ("character_set", "raw", "text"),
    [
        ("ISO_IR 100", b"M\xfcller", "Müller"),
        ("ISO_IR 192", "Ω1".encode(), "Ω1"),
        ("", b"\xe9", "é"),
        ("ODD", b"x", "x"),
    ],
)
def test_patient_ids_follow_the_character_set(tmp_path: Path, character_set: str, raw: bytes, text: str) -> None:
    path = write(tmp_path / "x", ct_dataset(SpecificCharacterSet="ISO_IR 100", PatientID="#" * 8))
    content = path.read_bytes().replace(b"ISO_IR 100", character_set.encode().ljust(10)).replace(b"#" * 8, raw.ljust(8))
    path.write_bytes(content)
    assert read(path).patient_id == text


def test_padding_is_read_with_the_sign_of_the_pixels(tmp_path: Path) -> None:
    signed = write(tmp_path / "a", ct_dataset(PixelPaddingValue=-2000, PixelPaddingRangeLimit=-3000))
    assert read(signed).frames[0].padding == (-3000, -2000)
    unsigned = ct_dataset(PixelRepresentation=0, PixelPaddingValue=63536)
    assert read(write(tmp_path / "b", unsigned)).frames[0].padding == (63536, 63536)


def test_frames_of_an_enhanced_file_have_their_own_attributes(tmp_path: Path) -> None:
    def groups(number: int) -> Dataset:
        item, plane, content, rescale, kind = (Dataset() for _ in range(5))
        plane.ImagePositionPatient = [0, 0, 5 * number]
        content.FrameAcquisitionNumber = number
        rescale.RescaleSlope, rescale.RescaleIntercept = "2", str(-number)
        kind.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if number == 2 else "VOLUME", "NONE"]
        item.PlanePositionSequence, item.FrameContentSequence = Sequence([plane]), Sequence([content])
        item.PixelValueTransformationSequence = Sequence([rescale])
        item.CTImageFrameTypeSequence = Sequence([kind])
        return item

    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = ["0.5", "0.6"], "5"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    data = ct_dataset(
        SOPClassUID=UID(STORAGE + "2.1"),
        NumberOfFrames=3,
        PixelData=ramp().tobytes() * 3,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence([groups(number) for number in (1, 2, 3)]),
    )
    for syntax in ("1.2.840.10008.1.2.1", IMPLICIT_VR_LITTLE_ENDIAN):
        frames = read(write(tmp_path / "x", data, syntax)).frames
        assert [frame.frame_number for frame in frames] == [1, 3]  # the localizer frame is left out
        assert [frame.position for frame in frames] == [(0, 0, 5), (0, 0, 15)]
        assert [(frame.slope, frame.intercept) for frame in frames] == [(2, -1), (2, -3)]
        assert [frame.acquisition_number for frame in frames] == [1, 3]
        assert {(frame.pixel_spacing, frame.slice_thickness) for frame in frames} == {((0.5, 0.6), 5.0)}
    data.PerFrameFunctionalGroupsSequence = Sequence([groups(1)])
    assert refusal(write(tmp_path / "x", data)).code == "bad_header"


def test_lengths_must_match_the_declared_syntax(tmp_path: Path) -> None:
    short = write(tmp_path / "a", ct_dataset(PixelData=ramp().tobytes()[:-2]))
    assert refusal(short).code == "wrong_transfer_syntax"
    assert refusal(write(tmp_path / "b", ct_dataset(NumberOfFrames=2))).code == "wrong_transfer_syntax"
    raw = ct_dataset()
    assert refusal(_relabelled(write(tmp_path / "c", raw), JPEG_LS_LOSSLESS)).code == "wrong_transfer_syntax"


def test_codestreams_must_match_the_declared_syntax(tmp_path: Path) -> None:
    data = ct_dataset(PixelData=encapsulate([b"\xff\x4f\xff\x51" + bytes(60)]))
    data["PixelData"].is_undefined_length = True
    error = refusal(write(tmp_path / "x", data, JPEG_LS_LOSSLESS))
    assert error.code == "wrong_transfer_syntax"
    assert "JPEG 2000" in error.detail
    unknown = refusal(write(tmp_path / "y", data, "1.2.840.10008.1.2.4.103"))
    assert unknown.code == "unsupported_transfer_syntax"
    assert "MPEG" in unknown.detail


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    content = write(tmp_path / "x", ct_dataset()).read_bytes()
    codes = set()
    for length in range(0, len(content), 3):
        (tmp_path / "cut").write_bytes(content[:length])
        codes.add(refusal(tmp_path / "cut").code)
    # Between two elements a cut file is a valid data set that merely lacks its pixels.
    assert codes <= {"not_dicom", "truncated_file", "no_pixel_data", "bad_header", "not_ct"}
    (tmp_path / "cut").write_bytes(content[:-1])
    assert refusal(tmp_path / "cut").code == "truncated_file"


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(500), b"\x1f\x8b" + bytes(500), bytes(2000)])
def test_other_files_are_not_dicom(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert refusal(tmp_path / "x").code == "not_dicom"


def test_a_missing_file_is_an_imaging_error(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone").code == "not_dicom"


def test_sequences_nested_without_end_are_refused(tmp_path: Path) -> None:
    start = write(tmp_path / "x", ct_dataset()).read_bytes()
    start = start[: start.index(b"\x08\x00\x08\x00")]
    opening = b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (tmp_path / "x").write_bytes(start + opening * 5000)
    assert refusal(tmp_path / "x").code == "bad_header"


def test_threads_read_side_by_side(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}", ct_dataset(number)) for number in range(1, 25)]
    random.Random(0).shuffle(paths)
    with ThreadPoolExecutor(8) as pool:
        headers: list[FileHeader] = list(pool.map(read, paths * 4))
    assert {header.frames[0].sop_instance_uid for header in headers} == {f"1.2.3.3.{n}" for n in range(1, 25)}


def _relabelled(path: Path, syntax: str) -> Path:
    declared = b"1.2.840.10008.1.2.1\0"
    content = path.read_bytes()
    at = content.index(declared)
    length = content[at - 2 : at]
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    assert length == len(declared).to_bytes(2, "little")
    content = content[: at - 2] + len(value).to_bytes(2, "little") + value + content[at + len(declared) :]
    path.write_bytes(content)
    return path
