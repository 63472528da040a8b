"""What a request asks of the CT that it brings: the query of `POST /v1/series` and of `POST /v1/uploads`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from slicebank_imaging.options import ImportOptions
from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_service.context import ID_PATTERN, Context
from slicebank_service.errors import BadRequest
from slicebank_store.errors import UnknownGroup
from slicebank_store.pseudonyms import Pseudonyms
from slicebank_store.types import Priority

if TYPE_CHECKING:
    from slicebank_store.intake.request import IntakeRequest

SHA256_PATTERN = r"^[0-9a-f]{64}$"


class IntakeQuery(BaseModel):
    """The query, as it was sent."""

    model_config = ConfigDict(frozen=True)

    encoder: str = Field(DEFAULT_ENCODER, pattern=ID_PATTERN)
    priority: Priority = Priority.INTERACTIVE
    embed: bool = True
    retain: bool = False
    stack: int | Literal["all"] | None = None
    # DICOM allows 64 characters; some sites use longer ones in practice.
    patient: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="PatientID, or a pseudonym as series show it; hashed on arrival.",
    )
    study_uid: str | None = Field(None, pattern=ID_PATTERN)
    assume_rescale: str | None = None
    force: str | None = None
    group: str | None = Field(None, pattern=ID_PATTERN, description="Id of the group that the jobs belong to.")
    case: int | None = Field(None, ge=0, description="Which case of the group this is, from 0.")
    digest: str | None = Field(
        None, pattern=SHA256_PATTERN, description="What the sender calls this content; see `POST /v1/series/check`."
    )

    def without_names(self, pseudonyms: Pseudonyms) -> IntakeQuery:
        """The same with patient and study as the catalogue calls them, for what is written down."""
        patient = None if self.patient is None else pseudonyms.patient_asked(self.patient.strip())
        study_uid = None if self.study_uid is None else pseudonyms.uid_asked(self.study_uid)
        return self.model_copy(update={"patient": patient or None, "study_uid": study_uid})


AskedOfIntake = Annotated[IntakeQuery, Query()]


def wanted(context: Context, asked: IntakeQuery) -> IntakeRequest:
    """What is asked, with the recipe of the encoder's bags. To be run on a thread: it asks the catalogue for the group.

    Raises:
        UnknownEncoder, WeightsMissing: no such encoder, or it cannot be used.
        BadOption: an import option that makes no sense.
        BadRequest: a group without a case, a case without a group, or one that the group does not have.
        UnknownGroup: the project has no such group.
    """
    # Here, because intake brings pydicom and numpy, and a service should answer before its first upload.
    from slicebank_service.intake.take_in import intake_request

    request = intake_request(
        context.registry.get(asked.encoder),
        embed=asked.embed,
        priority=asked.priority,
        retain=asked.retain,
        stack=asked.stack,
        patient=asked.patient,
        study_uid=asked.study_uid,
        options=ImportOptions.parse(asked.assume_rescale, asked.force),
        group=asked.group,
        case=asked.case,
        digest=asked.digest,
    )
    if asked.group is not None or asked.case is not None:
        check_case(context, asked.group, asked.case)
    return request


def check_case(context: Context, group_id: str | None, case: int | None) -> None:
    """Refuses a case that no group has.

    Raises:
        BadRequest: group or case is missing, or the group has fewer cases.
        UnknownGroup: the project has no such group.
    """
    if group_id is None or case is None:
        raise BadRequest("`group` and `case` go together: name the group, and which of its cases this is, from 0")
    group = context.catalogue.groups.get(context.project, group_id)
    if group is None:
        raise UnknownGroup(f"There is no group {group_id[:40]}: make it first.")
    if case >= group.cases:
        raise BadRequest(f"the group has {group.cases} cases, so the last one is {group.cases - 1}")
