from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import h5py
import pydicom
import pytest
from highdicom.sr import ComprehensiveSR
from highdicom.sr.sop import srread

from slicebank_service.errors import NoSourceImages
from slicebank_service.result_objects.answered import ENHANCED_CT_IMAGE
from slicebank_service.result_objects.instance import as_file
from slicebank_service.result_objects.making import Objects
from slicebank_service.result_objects.patient import PatientStudy
from slicebank_store.catalogue import PredictionRecord
from slicebank_store.pseudonyms import UidPolicy
from tests.service.result_objects.conftest import Answered, answer, as_bytes
from tests.service.support import FakeWorker, MakeFiles, World, assert_problem, serving


def test_projects_that_replace_uids_have_no_objects(world: World, worker: FakeWorker, make_files: MakeFiles) -> None:
    with serving(world.app(project="hashed", uid_policy=UidPolicy.HASH)) as api:
        hashed = answer(api, world, worker, make_files(0, patient_id="4711"))
        body = {"content": as_bytes(hashed.header()), "headers": {"Content-Type": "application/dicom"}}
        for refused in (
            api.get(f"{hashed.path}/sr"),
            api.get(f"{hashed.path}/sc"),
            api.post(f"{hashed.path}/sr", **body),
            api.post(f"{hashed.path}/sc", **body),
        ):
            problem = assert_problem(refused, 409, "uids_hashed")
            assert "SLICEBANK_UID_POLICY" in problem["detail"]


def test_frames_of_one_instance_are_named_by_their_numbers(answered: Answered) -> None:
    _rewrite(answered, lambda place: ("1.2.3.4", place + 1))
    objects = Objects.of(answered.api.app.state.context, answered.prediction)
    document = srread(io.BytesIO(as_file(objects.report(2))))
    assert isinstance(document, ComprehensiveSR)
    _, first, second = document.content.get_image_measurement_groups()
    ranked = sorted(answered.prediction.attention["slices"], key=lambda item: item["rank"])
    for group, item in zip((first, second), ranked[:2], strict=True):
        (source,) = group.source_images
        assert source.referenced_sop_class_uid == ENHANCED_CT_IMAGE
        assert source.referenced_frame_numbers == [item["slice_index"] + 1]
    (evidence,) = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert len(evidence.ReferencedSOPSequence) == 1
    image = objects.capture(2)
    assert [item.ReferencedFrameNumber for item in image.SourceImageSequence] == [
        item["slice_index"] + 1 for item in ranked[:2]
    ]
    # What the header of a file says of its series goes before what is guessed.
    legacy = "1.2.840.10008.5.1.4.1.1.2.2"
    header = answered.header(SOPClassUID=legacy)
    said = Objects.of(answered.api.app.state.context, answered.prediction, header=as_bytes(header))
    assert {image.sop_class_uid for image in said.answered.images.values()} == {legacy}


@pytest.mark.parametrize("uid", ["", "slice 1", "1.2." + "3" * 70])
def test_slices_without_uids_cannot_be_named(answered: Answered, uid: str) -> None:
    _rewrite(answered, lambda _place: (uid, 1))
    with pytest.raises(NoSourceImages, match="upload the original"):
        Objects.of(answered.api.app.state.context, answered.prediction)


def test_labels_and_values_of_every_kind(answered: Answered) -> None:
    labels = ["a\\b", ("肝 " * 30).strip(), "-", "<b>"]
    outputs = [{"label": label, "probability": None, "fold_std": None, "value": -1.5} for label in labels]
    outputs[0] |= {"probability": 0.2, "raw_probability": 0.4, "calibrated": True, "value": None}
    changed = replace(answered.prediction, outputs=outputs, about={"in_training": True})
    document = _report(answered, changed)
    groups = document.content.get_image_measurement_groups()[: len(labels)]
    meanings = [group.finding_type.meaning for group in groups]
    assert meanings == ["a/b", ("肝 " * 30)[:64].strip(), "-", "<b>"]
    assert [group.tracking_identifier for group in groups] == labels
    assert len({group.finding_type.value for group in groups}) == len(labels)
    said = {item.name.meaning: item.value.meaning for item in groups[0].get_qualitative_evaluations()}
    assert said == {
        "Calibration of the probability": "Calibrated",
        "Use of the patient in training": "Learnt from",
    }
    assert {item.name.meaning: item.value for item in groups[0].get_measurements()} == {
        "Probability": 0.2,
        "Probability before calibration": 0.4,
    }
    assert {item.name.meaning: item.value for item in groups[1].get_measurements()} == {"Predicted value": -1.5}


def test_an_answer_without_slices_names_the_series(answered: Answered) -> None:
    row = {**answered.prediction.attention["rows"][0], "slice_index": -1, "window": None, "sop_instance_uid": None}
    document = _report(answered, replace(answered.prediction, attention={"rows": [row], "slices": []}))
    (group,) = document.content.get_image_measurement_groups()
    assert group.source_images == []
    (evidence,) = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert evidence.SeriesInstanceUID == answered.bag.series_uid


def _report(answered: Answered, prediction: PredictionRecord) -> ComprehensiveSR:
    objects = Objects.of(answered.api.app.state.context, prediction)
    document = srread(io.BytesIO(as_file(objects.for_patient(PatientStudy()).report(3))))
    assert isinstance(document, ComprehensiveSR)
    assert isinstance(pydicom.dcmread(io.BytesIO(as_file(objects.capture(1)))).pixel_array.shape, tuple)
    return document


def _rewrite(answered: Answered, called: Callable[[int], tuple[str, int]]) -> None:
    """Writes the bag anew with other instances.

    Args:
        answered: whose bag.
        called: SOPInstanceUID and frame number of a slice.
    """
    with answered.world.blobs.open_local(answered.bag.blob_key) as path, h5py.File(path, "r+") as file:
        places = range(len(file["slice_number"]))
        del file["sop_instance_uid"]
        file["sop_instance_uid"] = [called(place)[0].encode() or b"" for place in places]
        file["frame_number"][...] = [called(place)[1] for place in places]
