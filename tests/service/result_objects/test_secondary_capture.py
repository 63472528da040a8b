from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import SecondaryCaptureImageStorage

from slicebank_store.bags import read_bag
from tests.service.result_objects.conftest import Answered, as_bytes
from tests.service.support import assert_problem


def test_a_capture_is_the_attention_picture(answered: Answered) -> None:
    response = answered.api.get(f"{answered.path}/sc", params={"top": 2})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/dicom"
    image = pydicom.dcmread(io.BytesIO(response.content))
    picture = Image.open(io.BytesIO(answered.api.get(f"{answered.path}/attention.png", params={"top": 2}).content))
    assert image.SOPClassUID == SecondaryCaptureImageStorage
    assert image.StudyInstanceUID == answered.bag.study_uid
    assert image.SeriesInstanceUID != answered.bag.series_uid
    assert (image.PhotometricInterpretation, image.BurnedInAnnotation, image.ConversionType) == ("RGB", "NO", "WSD")
    np.testing.assert_array_equal(image.pixel_array, np.asarray(picture.convert("RGB")))
    with answered.world.blobs.open_local(answered.bag.blob_key) as path:
        uids = read_bag(path).sop_instance_uid
    ranked = sorted(answered.prediction.attention["slices"], key=lambda item: item["rank"])[:2]
    named = [item.ReferencedSOPInstanceUID for item in image.SourceImageSequence]
    assert named == [uids[item["slice_index"]] for item in ranked]
    assert not image.PatientName
    assert response.content == answered.api.get(f"{answered.path}/sc", params={"top": 2}).content


def test_a_capture_for_the_patient_of_a_file(answered: Answered) -> None:
    body = as_bytes(answered.header())
    headers = {"Content-Type": "application/dicom"}
    image = pydicom.dcmread(io.BytesIO(answered.api.post(f"{answered.path}/sc", content=body, headers=headers).content))
    assert str(image.PatientName) == "Müller^Käthe"
    assert image.PatientBirthDate == "19510203"


@pytest.mark.parametrize("call", ["sr", "sc"])
def test_no_object_of_what_is_not_there(answered: Answered, call: str) -> None:
    assert_problem(answered.api.get(f"/v1/predictions/0000/{call}"), 404, "unknown_prediction")
    answered.world.blobs.delete(answered.bag.blob_key)
    assert_problem(answered.api.get(f"{answered.path}/{call}"), 409, "no_source_images")
