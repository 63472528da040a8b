"""From the files of an upload to series in the catalogue and jobs in the queue."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Literal

from slicebank_imaging.body_parts import HEAD_TERMS
from slicebank_imaging.grouping import CTSeries, group_series
from slicebank_imaging.options import ImportOptions
from slicebank_models.cards import EncoderCard
from slicebank_service.context import Context
from slicebank_service.dispatching import dispatch
from slicebank_service.intake.files import Rejection, sort_files
from slicebank_service.intake.received import ReceivedUpload
from slicebank_service.recipes import recipe_of
from slicebank_store.catalogue import EmbedRequest, IncomingSeries, IncomingStack, Submitted
from slicebank_store.errors import UnknownStack, UploadMissing
from slicebank_store.identity import content_digest
from slicebank_store.intake import Upload
from slicebank_store.types import BagLevel, JobKind, Priority


@dataclass(frozen=True, slots=True)
class IntakeRequest:
    """What a client asks of an upload.

    Attributes:
        card: the encoder's card.
        embed: False keeps the pixels and makes no bag.
        retain: keep the pixels beside the bag.
        stack: which stack to embed; None for the default one.
        patient: PatientID to use in place of the files' own.
        study_uid: StudyInstanceUID to use in place of the files' own.
        options: import options.
    """

    card: EncoderCard
    priority: Priority
    embed: bool
    retain: bool
    stack: int | Literal["all"] | None
    patient: str | None
    study_uid: str | None
    options: ImportOptions


@dataclass(frozen=True, slots=True)
class TakenIn:
    """One stack of one series that has a job.

    Attributes:
        warnings: sentences for the client.
    """

    submitted: Submitted
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of an upload."""

    taken: tuple[TakenIn, ...]
    rejected: tuple[Rejection, ...]


def take_in(context: Context, upload: Upload, received: ReceivedUpload, request: IntakeRequest) -> Intake:
    """Takes an upload in. To be run on a thread: it reads every file.

    Args:
        context: the application's collaborators.
        upload: its place in staging; afterwards it holds what jobs need and nothing else.
        received: the bodies.
        request: what the client asks.

    Raises:
        WeightsMissing: the encoder cannot be used; nothing was taken in.
        StorageFull: an archive would fill the disk; nothing was taken in.
    """
    embed = _embed_request(upload.upload_id, request)
    settings = context.settings
    files = sort_files(
        received.files,
        upload.folder,
        request.options,
        max_files=settings.max_upload_files,
        max_bytes=settings.max_inflated_bytes,
        check_room=context.admission.check_disks,
    )
    grouping = group_series(files.headers, request.options)
    rejected = files.rejected + [Rejection(files.names[item.file], item.code, item.detail) for item in grouping.refused]
    sexes: dict[str, set[str]] = {}
    for series in grouping.series:
        sexes.setdefault(series.patient_id, set()).update({series.patient_sex} - {""})
    taken: list[TakenIn] = []
    needed: set[str] = set()
    for series in grouping.series:
        incoming = _incoming(context, series, request)
        warnings = list(incoming.warnings)
        if series.patient_id and len(sexes[series.patient_id]) > 1:
            warnings.append(
                "one PatientID stands for patients of differing sex in this upload; give patient= if they are several"
            )
        try:
            results = context.catalogue.submissions.submit_series(incoming, embed, time.time())
        except UnknownStack as error:
            names = sorted({files.names[ref["file"]] for stack in incoming.stacks for ref in stack.slices})
            rejected += [Rejection(name, error.code, str(error)) for name in names]
            continue
        for submitted in results:
            taken.append(TakenIn(submitted, tuple(warnings)))
            if submitted.created:
                needed.update(ref["file"] for ref in context.catalogue.jobs.manifest(submitted.job_id)["slices"])
    # A worker that found its job by itself may be done, and its files gone.
    with contextlib.suppress(UploadMissing):
        context.staging.discard(upload.upload_id, keep=needed)
    for item in taken:
        if item.submitted.created:
            dispatch(
                context, JobKind.EMBED if request.embed else JobKind.IMPORT, item.submitted.job_id, request.priority
            )
    return Intake(tuple(taken), tuple(rejected))


def _embed_request(upload_id: str, request: IntakeRequest) -> EmbedRequest:
    card = request.card
    return EmbedRequest(
        recipe=recipe_of(card) if request.embed else None,
        stack=request.stack,
        priority=request.priority,
        retain=request.retain,
        staging=upload_id,
        level=BagLevel(card.level.value),
        dim=card.dim,
    )


def _incoming(context: Context, series: CTSeries, request: IntakeRequest) -> IncomingSeries:
    warnings = list(series.warnings)
    study_uid = request.study_uid or series.study_uid
    patient_id = (request.patient or series.patient_id).strip()
    if not patient_id:
        patient_id = study_uid
        warnings.append(
            "the files carry no PatientID; the study stands for its patient. Give patient= to say who it is"
        )
    if request.embed and series.body_part in HEAD_TERMS:
        warnings.append(
            "the bag holds pictures of a head, which can show a face; SLICEBANK_THUMBNAILS=false leaves them out"
        )
    return IncomingSeries(
        project=context.project,
        series_uid=series.series_uid,
        study_uid=study_uid,
        patient=context.keys.patient(context.project, patient_id),
        body_part=series.body_part,
        stacks=tuple(
            IncomingStack(
                stack=stack.stack,
                slices=[ref.as_dict() for ref in stack.slices],
                slice_digests=stack.slice_digests,
                content_digest=content_digest(stack.slice_digests),
                n_slices=len(stack.slices),
                geometry=stack.geometry,
                rescale=stack.rescale,
                rows=stack.rows,
                columns=stack.columns,
                field_of_view_mm=stack.field_of_view_mm,
                axial=stack.axial,
            )
            for stack in series.stacks
        ),
        default_stack=series.default_stack,
        options=request.options.as_dict(),
        warnings=tuple(warnings),
        named_by_sender=request.patient is not None or request.study_uid is not None,
    )
