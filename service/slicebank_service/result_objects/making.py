"""The objects of one prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastapi import Response
from pydicom.dataset import Dataset

from slicebank_service.answers.picture_of import picture_of
from slicebank_service.context import Context
from slicebank_service.result_objects.answered import Answered, answered
from slicebank_service.result_objects.instance import as_file
from slicebank_service.result_objects.patient import PatientStudy, of_header
from slicebank_service.result_objects.secondary_capture import secondary_capture
from slicebank_service.result_objects.structured_report import structured_report
from slicebank_store.catalogue import PredictionRecord


@dataclass(frozen=True, slots=True)
class Objects:
    """Makes the objects of one prediction for one patient.

    Attributes:
        patient: whose they are; nothing where nobody has said it.
    """

    context: Context
    answered: Answered
    patient: PatientStudy

    @classmethod
    def of(cls, context: Context, prediction: PredictionRecord, *, header: bytes | None = None) -> Objects:
        """Gathers what the objects need.

        Args:
            context: the application's collaborators.
            prediction: its row.
            header: first bytes of a DICOM file of the study; None where the objects shall name no patient.

        Raises:
            ResultObjectRefused: none can be made.
            BadRequest: the header cannot be read.
        """
        # Whether any can be made is told first: the header may hold a name, and is not needed to refuse.
        unnamed = answered(context, prediction, {})
        if header is None:
            return cls(context, unnamed, PatientStudy())
        patient = of_header(header, prediction.study_uid)
        return cls(context, answered(context, prediction, patient.sop_classes), patient)

    def for_patient(self, patient: PatientStudy) -> Objects:
        """The same for somebody."""
        return replace(self, patient=patient)

    def report(self, top: int) -> Dataset:
        """The structured report."""
        return structured_report(self.answered, self.patient, top)

    def capture(self, top: int) -> Dataset:
        """The secondary capture of the attention picture."""
        picture = picture_of(self.context, self.answered.prediction, top)
        return secondary_capture(self.answered, self.patient, picture, top)

    def made(self, kind: str, top: int) -> Dataset:
        """An object of a kind: `sr` or `sc`."""
        return self.report(top) if kind == "sr" else self.capture(top)


def as_answer(made: Dataset, filename: str) -> Response:
    """An object as the answer to a request."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"', "Cache-Control": "private, no-store"}
    return Response(as_file(made), media_type="application/dicom", headers=headers)
