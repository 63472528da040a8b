from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from highdicom.sr import ComprehensiveSR, MeasurementReport, MeasurementsAndQualitativeEvaluations
from highdicom.sr.sop import srread
from pydicom.uid import ComprehensiveSRStorage

from slicebank_store.bags import read_bag
from tests.service.result_objects.conftest import Answered, as_bytes
from tests.service.support import assert_problem


def report_of(content: bytes) -> tuple[pydicom.Dataset, list[MeasurementsAndQualitativeEvaluations]]:
    """The document, and its groups as another reader sees them."""
    document = srread(io.BytesIO(content))
    assert isinstance(document, ComprehensiveSR)
    assert isinstance(document.content, MeasurementReport)
    groups = document.content.get_image_measurement_groups()
    return pydicom.dcmread(io.BytesIO(content)), groups


def numbers(group: MeasurementsAndQualitativeEvaluations) -> dict[str, float]:
    return {item.name.meaning: item.value for item in group.get_measurements()}


def test_a_report_names_answer_slices_head_and_series(answered: Answered) -> None:
    response = answered.api.get(f"{answered.path}/sr", params={"top": 3})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/dicom"
    document, groups = report_of(response.content)
    assert document.SOPClassUID == ComprehensiveSRStorage
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert document.StudyInstanceUID == answered.bag.study_uid
    assert (document.CompletionFlag, document.PreliminaryFlag, document.VerificationFlag) == (
        "COMPLETE",
        "PRELIMINARY",
        "UNVERIFIED",
    )
    with answered.world.blobs.open_local(answered.bag.blob_key) as path:
        bag = read_bag(path)
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == answered.bag.series_uid
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence} == set(bag.sop_instance_uid)
    output, *slices = groups
    assert output.finding_type.meaning == "lesion"
    assert output.finding_type.scheme_designator == "99SLICEBANK"
    assert numbers(output)["Probability"] == pytest.approx(0.75)
    assert numbers(output)["Standard deviation over the models of the ensemble"] == pytest.approx(0.05)
    said = {item.name.meaning: item.value.meaning for item in output.get_qualitative_evaluations()}
    assert said["Calibration of the probability"] == "Not calibrated"
    ranked = sorted(answered.prediction.attention["slices"], key=lambda item: item["rank"])[:3]
    assert [group.finding_type.meaning for group in slices] == ["Slice attended by the model"] * 3
    for group, item in zip(slices, ranked, strict=True):
        assert numbers(group)["Share of the attention of the model"] == pytest.approx(item["weight"])
        assert numbers(group)["Rank by attention"] == item["rank"]
        (source,) = group.source_images
        assert source.referenced_sop_instance_uid == bag.sop_instance_uid[item["slice_index"]]
        assert source.referenced_sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert len(output.source_images) == 3
    text = response.content.decode("latin-1")
    for expected in (
        "Algorithm Name",
        "lesions",
        f"head_id={answered.head}",
        "Algorithm Version",
        "encoder=hu_statistics",
    ):
        assert expected in text, expected


def test_without_a_file_nobody_is_named(answered: Answered) -> None:
    document, _ = report_of(answered.api.get(f"{answered.path}/sr").content)
    for keyword in (
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "AccessionNumber",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "ReferringPhysicianName",
    ):
        assert not document[keyword].value, keyword
    assert answered.bag.patient not in str(document)


def test_the_patient_is_that_of_a_file_of_the_study(answered: Answered) -> None:
    whole = as_bytes(answered.header())
    for body in (whole, whole[:3000]):
        response = answered.api.post(f"{answered.path}/sr", content=body, headers={"Content-Type": "application/dicom"})
        assert response.status_code == 200, response.text
        document, _ = report_of(response.content)
        assert str(document.PatientName) == "Müller^Käthe"
        assert (document.PatientID, document.IssuerOfPatientID, document.PatientSex) == ("4711", "HOSPITAL", "F")
        assert (document.StudyDate, document.AccessionNumber, document.StudyID) == ("20260102", "A123", "S9")
        assert document.SpecificCharacterSet == "ISO_IR 192"
    # A word of the patient is in no file of ours.
    for path in answered.world.settings.data_dir.rglob("*"):
        assert not path.is_file() or b"K\xc3\xa4the" not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("character_set", "name"),
    [("ISO_IR 100", "Müller^Käthe"), ("ISO_IR 144", "Жуков^Ян"), ("", "Doe^Jane"), ("GB18030", "王^小东")],
)
def test_names_in_other_characters(answered: Answered, character_set: str, name: str) -> None:
    header = answered.header()
    header.SpecificCharacterSet = character_set
    header.PatientName = name
    response = answered.api.post(
        f"{answered.path}/sr", content=as_bytes(header), headers={"Content-Type": "application/dicom"}
    )
    document, _ = report_of(response.content)
    assert str(document.PatientName) == name


def test_the_same_question_gives_the_same_object(answered: Answered) -> None:
    first, again = (answered.api.get(f"{answered.path}/sr").content for _ in range(2))
    assert first == again
    body = {"content": as_bytes(answered.header()), "headers": {"Content-Type": "application/dicom"}}
    named = answered.api.post(f"{answered.path}/sr", **body).content
    uids = {pydicom.dcmread(io.BytesIO(item)).SOPInstanceUID for item in (first, named)}
    uids.add(pydicom.dcmread(io.BytesIO(answered.api.get(f"{answered.path}/sr?top=2").content)).SOPInstanceUID)
    assert len(uids) == 3


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_request"),
        (b"not dicom at all", 422, "bad_request"),
        (b"\0" * 128 + b"DICM" + b"\xff" * 64, 422, "bad_request"),
        (b"\0" * 128 + b"DICM1.2.840.10008.1.2.1.99\0", 422, "bad_request"),
    ],
)
def test_bytes_that_are_no_header(answered: Answered, body: bytes, status: int, code: str) -> None:
    headers = {"Content-Type": "application/dicom"}
    assert_problem(answered.api.post(f"{answered.path}/sr", content=body, headers=headers), status, code)


def test_a_file_of_another_study_is_refused_and_impossible_values_are_left_out(answered: Answered) -> None:
    headers = {"Content-Type": "application/dicom"}
    other = as_bytes(answered.header(StudyInstanceUID="1.2.3"))
    problem = assert_problem(
        answered.api.post(f"{answered.path}/sr", content=other, headers=headers), 422, "other_study"
    )
    assert "4711" not in str(problem)
    odd = as_bytes(answered.header(PatientSex="O")).replace(b"19510203", b"ca. 1950").replace(b"030405", b"midday")
    document, _ = report_of(answered.api.post(f"{answered.path}/sr", content=odd, headers=headers).content)
    assert not document.PatientBirthDate
    assert not document.StudyTime
    assert document.PatientSex == "O"
    assert document.PatientID == "4711"
    long = as_bytes(answered.header(PatientID="4" * 64)).replace(b"4" * 64, b"4" * 62 + b"\\4")
    problem = assert_problem(
        answered.api.post(f"{answered.path}/sr", content=long, headers=headers), 422, "bad_request"
    )
    assert "444" not in str(problem)


def test_dcmtk_reads_it(answered: Answered, tmp_path: Path) -> None:
    dsrdump = shutil.which("dsrdump")
    file = tmp_path / "sr.dcm"
    file.write_bytes(answered.api.get(f"{answered.path}/sr").content)
    assert pydicom.dcmread(file).file_meta.MediaStorageSOPClassUID == ComprehensiveSRStorage
    if dsrdump is not None:  # the dcmtk of CI's image
        said = subprocess.run([dsrdump, str(file)], capture_output=True, text=True, check=True)
        assert "Imaging Measurement Report" in said.stdout
        assert "Slice attended by the model" in said.stdout
        assert "error" not in said.stderr.lower(), said.stderr
