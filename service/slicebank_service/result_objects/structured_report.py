"""A prediction as a Comprehensive SR document of template TID 1500, Measurement Report (PS3.16)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from slicebank_imaging.uids import derived_uid
from slicebank_service import __version__
from slicebank_service.result_objects.answered import Answered, SourceImage
from slicebank_service.result_objects.instance import finish, identity
from slicebank_service.result_objects.patient import PatientStudy

SCHEME = "99SLICEBANK"
"""Coding scheme of concepts that no standard one has; 99 marks it as private (PS3.16 section 8)."""

# Far from what scanners number their series with.
_SERIES_NUMBER = 9701
_UNIT = codes.UCUM.NoUnits
# Documents with more groups are no use to a reader; the page of the prediction has them all.
_MOST_OUTPUTS = 100


_PROBABILITY = ("PROBABILITY", "Probability")
_RAW_PROBABILITY = ("RAWPROBABILITY", "Probability before calibration")
_VALUE = ("VALUE", "Predicted value")
_RISK = ("LOGHAZARDRATIO", "Logarithm of the hazard ratio")
_FOLD_SD = ("FOLDSD", "Standard deviation over the models of the ensemble")
_ATTENTION = ("ATTENTION", "Share of the attention of the model")
_RANK = ("ATTENTIONRANK", "Rank by attention")
_ATTENDED = ("ATTENDEDSLICE", "Slice attended by the model")
_CALIBRATION = ("CALIBRATION", "Calibration of the probability")
_TRAINING = ("TRAININGDATA", "Use of the patient in training")


def structured_report(answered: Answered, patient: PatientStudy, top: int) -> Dataset:
    """Makes the document: a group of measurements an output, and one a slice of the most attended.

    The same prediction, patient and version of the software give the same document, UIDs and times among them.

    Args:
        answered: the prediction and what it names.
        patient: whose it is.
        top: slices named, most attended first.
    """
    prediction = answered.prediction
    series_uid, instance_uid = identity(answered, patient, "sr", str(top))
    shown = answered.top(top)
    sources = [_reference(image) for _, image in shown]
    algorithm = _algorithm(answered)
    # A scan-level answer has no slices of its own: its groups refer to the series through the evidence alone.
    groups = [_output_group(answered, output, algorithm, sources) for output in prediction.outputs[:_MOST_OUTPUTS]] + [
        _slice_group(answered, item, image, algorithm) for item, image in shown
    ]
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                    uid=derived_uid("slicebank device", prediction.head_id),
                    name=answered.head_name[:64],
                    manufacturer_name="slicebank",
                    model_name=__version__,
                ),
            )
        ),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = ComprehensiveSR(
        evidence=_evidence(answered),
        content=content,
        series_instance_uid=series_uid,
        series_number=_SERIES_NUMBER,
        sop_instance_uid=instance_uid,
        instance_number=1,
        manufacturer="slicebank",
        is_complete=True,
        is_final=False,
        specific_character_set="ISO_IR 192",
        series_description=f"slicebank {answered.head_name}"[:64],
        manufacturer_model_name="slicebank",
        software_versions=__version__,
        device_serial_number=prediction.head_id,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                SCHEME, name="slicebank", version=__version__, responsible_organization="slicebank"
            )
        ],
    )
    finish(document, answered, patient)
    return document


def private_code(value: str, meaning: str) -> CodedConcept:
    """A concept of the private scheme."""
    return CodedConcept(value, SCHEME, meaning)


def label_code(label: str) -> CodedConcept:
    """A label as a concept: its value follows from the label alone, its meaning is as much of it as a meaning may hold."""
    digest = hashlib.sha256(label.encode()).hexdigest()
    meaning = label.replace("\\", "/").strip()[:64].strip() or "label"
    return private_code(f"L{digest[:15]}".upper(), meaning)


def _output_group(
    answered: Answered,
    output: Mapping[str, Any],
    algorithm: AlgorithmIdentification,
    sources: Sequence[SourceImageForMeasurementGroup],
) -> MeasurementsAndQualitativeEvaluations:
    label = str(output["label"])
    survival = answered.head is not None and answered.head.task.get("kind") == "survival"
    measured = [
        (_PROBABILITY, output.get("probability")),
        (_RAW_PROBABILITY, output.get("raw_probability")),
        (_RISK if survival else _VALUE, output.get("value")),
        (_FOLD_SD, output.get("fold_std")),
    ]
    said = []
    if output.get("probability") is not None:
        calibrated = ("CALIBRATED", "Calibrated") if output.get("calibrated") else ("UNCALIBRATED", "Not calibrated")
        said.append(QualitativeEvaluation(private_code(*_CALIBRATION), private_code(*calibrated)))
    learnt = answered.prediction.about.get("in_training")
    if learnt is not None:
        used = ("TRAININGUSED", "Learnt from") if learnt else ("TRAININGUNUSED", "Not learnt from")
        said.append(QualitativeEvaluation(private_code(*_TRAINING), private_code(*used)))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derived_uid("slicebank output", answered.prediction.prediction_id, label), identifier=label
        ),
        finding_type=label_code(label),
        algorithm_id=algorithm,
        measurements=[
            Measurement(private_code(*name), float(value), _UNIT) for name, value in measured if value is not None
        ],
        qualitative_evaluations=said or None,
        source_images=list(sources) or None,
    )


def _slice_group(
    answered: Answered, item: Mapping[str, Any], image: SourceImage, algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    name = f"slice {item['slice_index']} of the series, from the lowest up"
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derived_uid(
                "slicebank slice", answered.prediction.prediction_id, image.series_uid, str(item["slice_index"])
            ),
            identifier=name,
        ),
        finding_type=private_code(*_ATTENDED),
        algorithm_id=algorithm,
        measurements=[
            Measurement(private_code(*_ATTENTION), float(item["weight"]), _UNIT),
            Measurement(private_code(*_RANK), int(item["rank"]), _UNIT),
        ],
        source_images=[_reference(image)],
    )


def _algorithm(answered: Answered) -> AlgorithmIdentification:
    head = answered.head
    said = {
        "head_id": answered.prediction.head_id,
        "prediction_id": answered.prediction.prediction_id,
        "encoder": answered.encoder,
        "recipe": head.recipe_digest if head is not None else None,
        "weights": head.sha256 if head is not None else None,
        "architecture": (answered.report.get("head") or {}).get("architecture"),
        "slicebank": __version__,
    }
    return AlgorithmIdentification(
        name=head.name if head is not None else answered.prediction.head_id,
        version=str(head.version) if head is not None else "unknown",
        parameters=[f"{name}={value}" for name, value in said.items() if value],
        manufacturer="slicebank",
    )


def _reference(image: SourceImage) -> SourceImageForMeasurementGroup:
    frames = None if image.frame_number is None else [image.frame_number]
    return SourceImageForMeasurementGroup(image.sop_class_uid, image.sop_instance_uid, frames)


def _evidence(answered: Answered) -> list[Dataset]:
    """Every instance of the series, as far as a reference needs it; no patient."""
    found = {}
    for image in answered.images.values():
        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
        item.SeriesInstanceUID, item.StudyInstanceUID = image.series_uid, answered.prediction.study_uid
        # The library asks the first one for them; they are set when the document is made.
        item.PatientID = item.PatientName = item.PatientBirthDate = item.PatientSex = ""
        item.AccessionNumber = item.StudyID = item.StudyDate = item.StudyTime = item.ReferringPhysicianName = ""
        found[image.sop_instance_uid] = item
    return list(found.values())
