"""The attention picture of a prediction as a Secondary Capture image, for viewers that show no structured reports."""

from __future__ import annotations

import io

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from slicebank_service import __version__
from slicebank_service.result_objects.answered import Answered, SourceImage
from slicebank_service.result_objects.instance import finish, identity
from slicebank_service.result_objects.patient import PatientStudy

# Far from what scanners number their series with.
_SERIES_NUMBER = 9702


def secondary_capture(answered: Answered, patient: PatientStudy, picture: bytes, top: int) -> Dataset:
    """Makes the image: RGB, uncompressed.

    Args:
        answered: the prediction and what it names.
        patient: whose it is.
        picture: PNG of the attention.
        top: slices that it shows, most attended first.
    """
    series_uid, instance_uid = identity(answered, patient, "sc", str(top))
    prediction = answered.prediction
    made = SCImage(
        pixel_array=np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), np.uint8),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        # A curve over the slices lies in no direction of the patient; the library wants one, and it is taken back below.
        patient_orientation=("L", "P"),
        study_instance_uid=prediction.study_uid,
        series_instance_uid=series_uid,
        series_number=_SERIES_NUMBER,
        sop_instance_uid=instance_uid,
        instance_number=1,
        manufacturer="slicebank",
        specific_character_set="ISO_IR 192",
        series_description=f"slicebank attention {answered.head_name}"[:64],
        manufacturer_model_name="slicebank",
        software_versions=__version__,
        device_serial_number=prediction.head_id,
    )
    made.PatientOrientation, made.Laterality = [], ""
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "NO"
    made.LossyImageCompression = "01"  # the pictures of the slices are JPEG
    made.DerivationDescription = (
        f"Attention of head {answered.head_name} over the slices of the series, with the slices that drew most of it; "
        f"prediction {prediction.prediction_id}"
    )
    made.SourceImageSequence = [_source(image) for _, image in answered.top(top)]
    finish(made, answered, patient)
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = made.ContentDate, made.ContentTime
    return made


def _source(image: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    if image.frame_number is not None:
        item.ReferencedFrameNumber = image.frame_number
    purpose = Dataset()
    code = codes.DCM.SourceImageForImageProcessingOperation
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item
