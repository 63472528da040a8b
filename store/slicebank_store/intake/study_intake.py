"""From the files of an upload to series in the catalogue and jobs in the queue."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from slicebank_imaging.body_parts import HEAD_TERMS
from slicebank_imaging.grouping import CTSeries, SeriesVerdict, group_series
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.slices import SliceRef
from slicebank_store.catalogue import Catalogue, EmbedRequest, IncomingSeries, IncomingStack, Submitted
from slicebank_store.errors import UnknownStack
from slicebank_store.identity import content_digest
from slicebank_store.intake.request import IntakeRequest
from slicebank_store.intake.sorting import Sorted
from slicebank_store.intake.verdicts import Rejection
from slicebank_store.pseudonyms import Pseudonyms
from slicebank_store.types import JSON


@dataclass(frozen=True, slots=True)
class TakenIn:
    """One stack of one series that has a job.

    Attributes:
        warnings: sentences for the sender.
    """

    submitted: Submitted
    warnings: tuple[str, ...]

    def as_stored(self) -> JSON:
        """JSON for the result of an import job."""
        submitted = self.submitted
        return {
            "series_uid": submitted.series_uid,
            "study_uid": submitted.study_uid,
            "revision": submitted.revision,
            "stack": submitted.stack,
            "n_slices": submitted.n_slices,
            "job_id": submitted.job_id,
            "bag_id": submitted.bag_id,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of an upload.

    Attributes:
        rejected: files that are in no series.
        refused_series: series of which nothing was taken; their files are among the rejected.
        needed: places, below the upload's folder, of the files that new jobs need.
    """

    taken: tuple[TakenIn, ...]
    rejected: tuple[Rejection, ...]
    refused_series: tuple[SeriesVerdict, ...]
    needed: frozenset[str]

    @property
    def created(self) -> list[TakenIn]:
        """What has a job that was made now."""
        return [item for item in self.taken if item.submitted.created]


class StudyIntake:
    """Takes files in for one project. Any thread may call it."""

    def __init__(self, catalogue: Catalogue, project: str, pseudonyms: Pseudonyms, limits: IntakeLimits) -> None:
        self._catalogue = catalogue
        self._project = project
        self._pseudonyms = pseudonyms
        self._limits = limits

    def take_in(self, upload_id: str, files: Sorted, request: IntakeRequest) -> Intake:
        """Makes series of judged files, and jobs of series. Done twice with the same files it makes nothing twice.

        Nothing is removed, and no message sent: the caller does both with what comes back.

        Args:
            upload_id: the upload in staging that holds the files.
            files: judged, as `sort_files` or `judge_in_place` give them.
            request: what is asked of them.
        """
        grouping = group_series(files.headers, request.options, self._limits)
        rejected = files.rejected + [
            Rejection(files.names[item.file], item.file, item.code, item.detail, item.tag) for item in grouping.refused
        ]
        sexes = _sexes(grouping.series)
        embed = _embed_request(upload_id, request)
        taken: list[TakenIn] = []
        needed: set[str] = set()
        for series in grouping.series:
            incoming = self._incoming(series, request)
            warnings = list(incoming.warnings)
            if series.patient_id and len(sexes[series.patient_id]) > 1:
                warnings.append(
                    "one PatientID stands for patients of differing sex in this upload; give patient= if they are several"
                )
            try:
                results = self._catalogue.submissions.submit_series(incoming, embed, time.time())
            except UnknownStack as error:
                places = sorted({ref["file"] for stack in incoming.stacks for ref in stack.slices})
                rejected += [Rejection(files.names[place], place, error.code, str(error)) for place in places]
                continue
            for submitted in results:
                taken.append(TakenIn(submitted, tuple(warnings)))
                if submitted.created:
                    manifest = self._catalogue.jobs.manifest(submitted.job_id)
                    needed.update(ref["file"] for ref in manifest["slices"])
        if request.digest is not None:
            # When all is taken in: a part that is known would keep its sender from sending the rest.
            self._catalogue.known_uploads.note(self._project, request.digest, [item.submitted for item in taken])
        refused = tuple(
            replace(item, series_uid=self._pseudonyms.uid(item.series_uid) if item.series_uid else "")
            for item in grouping.refused_series
        )
        return Intake(tuple(taken), tuple(rejected), refused, frozenset(needed))

    def _incoming(self, series: CTSeries, request: IntakeRequest) -> IncomingSeries:
        warnings = list(series.warnings)
        study_uid = request.study_uid or series.study_uid
        patient = self._patient(series, request)
        if patient is None:
            patient = self._pseudonyms.patient(self._pseudonyms.uid_asked(study_uid))
            warnings.append(
                "the files carry no PatientID; the study stands for its patient. Give patient= to say who it is"
            )
        if request.recipe is not None and series.body_part in HEAD_TERMS:
            warnings.append(
                "the bag holds pictures of a head, which can show a face; SLICEBANK_THUMBNAILS=false leaves them out"
            )
        return IncomingSeries(
            project=self._project,
            series_uid=self._pseudonyms.uid(series.series_uid),
            study_uid=self._pseudonyms.uid_asked(study_uid),
            patient=patient,
            body_part=series.body_part,
            stacks=tuple(
                IncomingStack(
                    stack=stack.stack,
                    slices=[self._reference(ref) for ref in stack.slices],
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

    def _patient(self, series: CTSeries, request: IntakeRequest) -> str | None:
        if request.patient is not None and request.patient.strip():
            # A sender may use what answers show, and so does an upload that waits on the disk.
            return self._pseudonyms.patient_asked(request.patient.strip())
        patient_id = series.patient_id.strip()
        return self._pseudonyms.patient(patient_id) if patient_id else None

    def _reference(self, ref: SliceRef) -> JSON:
        return {**ref.as_dict(), "sop_instance_uid": self._pseudonyms.uid(ref.sop_instance_uid)}


def _embed_request(upload_id: str, request: IntakeRequest) -> EmbedRequest:
    return EmbedRequest(
        recipe=request.recipe,
        stack=request.stack,
        priority=request.priority,
        retain=request.retain,
        staging=upload_id,
        level=request.level,
        dim=request.dim,
        group=request.group,
        case=request.case,
    )


def _sexes(series: Iterable[CTSeries]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in series:
        found.setdefault(item.patient_id, set()).update({item.patient_sex} - {""})
    return found
