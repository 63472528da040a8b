"""Result objects: a prediction as DICOM for the PACS."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from slicebank_service.answers.result_objects import PushAnswer, PushAsked, PushedObject
from slicebank_service.context import Ctx, Identifier
from slicebank_service.routers.predictions import stored_prediction

router = APIRouter(tags=["result objects"])

_DICOM = "application/dicom"
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {_DICOM: {}}}}
_Top = Annotated[int, Query(ge=1, le=64, description="Slices named, most attended first.")]
# As many as the picture has room for.
_Shown = Annotated[int, Query(ge=1, le=8, description="Slices shown, most attended first.")]
_Header = Annotated[
    bytes,
    Body(
        media_type=_DICOM,
        description="A DICOM file of the study, or its first bytes: patient and study are taken from it.",
    ),
]


@router.get("/predictions/{prediction_id}/sr", response_class=Response, responses=_FILE)
def structured_report(context: Ctx, prediction_id: Identifier, top: _Top = 5) -> Response:
    """Makes a structured report (TID 1500) without a patient: the catalogue keeps none."""
    from slicebank_service.result_objects.making import Objects, as_answer

    objects = Objects.of(context, stored_prediction(context, prediction_id))
    return as_answer(objects.report(top), f"{prediction_id}-sr.dcm")


@router.post("/predictions/{prediction_id}/sr", response_class=Response, responses=_FILE)
def structured_report_like(context: Ctx, prediction_id: Identifier, header: _Header, top: _Top = 5) -> Response:
    """Makes a structured report for the patient of a file of the study, which is read and not kept."""
    from slicebank_service.result_objects.making import Objects, as_answer

    objects = Objects.of(context, stored_prediction(context, prediction_id), header=header)
    return as_answer(objects.report(top), f"{prediction_id}-sr.dcm")


@router.get("/predictions/{prediction_id}/sc", response_class=Response, responses=_FILE)
def secondary_capture(context: Ctx, prediction_id: Identifier, top: _Shown = 5) -> Response:
    """Makes a secondary capture of the attention picture without a patient."""
    from slicebank_service.result_objects.making import Objects, as_answer

    objects = Objects.of(context, stored_prediction(context, prediction_id))
    return as_answer(objects.capture(top), f"{prediction_id}-sc.dcm")


@router.post("/predictions/{prediction_id}/sc", response_class=Response, responses=_FILE)
def secondary_capture_like(context: Ctx, prediction_id: Identifier, header: _Header, top: _Shown = 5) -> Response:
    """Makes a secondary capture for the patient of a file of the study, which is read and not kept."""
    from slicebank_service.result_objects.making import Objects, as_answer

    objects = Objects.of(context, stored_prediction(context, prediction_id), header=header)
    return as_answer(objects.capture(top), f"{prediction_id}-sc.dcm")


@router.post("/predictions/{prediction_id}/push")
def push_objects(context: Ctx, prediction_id: Identifier, asked: PushAsked) -> PushAnswer:
    """Sends the objects of a prediction to a PACS of the settings, by STOW-RS; the PACS says whose they are."""
    from slicebank_service.result_objects.making import Objects
    from slicebank_service.result_objects.pushing import push

    source = context.sources.get(asked.pacs)
    prediction = stored_prediction(context, prediction_id)
    # Refused before the PACS is asked anything.
    unnamed = Objects.of(context, prediction)
    pushed = push(
        asked.pacs,
        source,
        prediction.study_uid,
        lambda patient: [unnamed.for_patient(patient).made(kind, asked.top) for kind in asked.objects],
    )
    return PushAnswer(
        pacs=asked.pacs,
        study_uid=prediction.study_uid,
        objects=[
            PushedObject(kind=kind, series_uid=item.series_uid, sop_instance_uid=item.sop_instance_uid)
            for kind, item in zip(asked.objects, pushed, strict=True)
        ],
    )
