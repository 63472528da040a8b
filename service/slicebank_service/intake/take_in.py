"""An upload that lies in staging: judged, taken in, and its jobs told to the workers."""

from __future__ import annotations

import contextlib

from slicebank_models.cards import EncoderCard
from slicebank_service.context import Context
from slicebank_service.intake.received import ReceivedUpload
from slicebank_service.recipes import recipe_of
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UploadMissing
from slicebank_store.intake import Upload
from slicebank_store.intake.request import IntakeRequest
from slicebank_store.intake.sorting import sort_files
from slicebank_store.intake.study_intake import Intake, StudyIntake
from slicebank_store.types import BagLevel, JobKind


def intake_request(card: EncoderCard, *, embed: bool = True, **asked: object) -> IntakeRequest:
    """What is asked of an upload, with the recipe of an encoder's bags.

    Args:
        card: the encoder.
        embed: False keeps the pixels and makes no bag.
        **asked: further fields of the request.

    Raises:
        WeightsMissing: the encoder cannot be used.
    """
    return IntakeRequest(
        recipe=recipe_of(card) if embed else None,
        level=BagLevel(card.level.value),
        dim=card.dim,
        **asked,  # type: ignore[arg-type]
    )


def take_in(context: Context, upload: Upload, received: ReceivedUpload, request: IntakeRequest) -> Intake:
    """Takes an upload in. To be run on a thread: it reads every file.

    Args:
        context: the application's collaborators.
        upload: its place in staging; afterwards it holds what jobs need and nothing else.
        received: the bodies.
        request: what the client asks.

    Raises:
        StorageFull: an archive would fill the disk; nothing was taken in.
    """
    files = sort_files(
        received.files,
        upload.folder,
        request.options,
        limits=context.limits,
        check_room=context.admission.check_disks,
    )
    intake = StudyIntake(context.catalogue, context.project, context.pseudonyms, context.limits.intake).take_in(
        upload.upload_id, files, request
    )
    # A worker that found its job by itself may be done, and its files gone.
    with contextlib.suppress(UploadMissing):
        context.staging.discard(upload.upload_id, keep=intake.needed)
    for item in intake.created:
        kind = JobKind.IMPORT if request.recipe is None else JobKind.EMBED
        dispatch(context.catalogue, context.queue, kind, item.submitted.job_id, request.priority)
    return intake
