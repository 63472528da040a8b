"""Series as the REST interface shows them, and what it says of an upload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from slicebank_service.answers.times import iso
from slicebank_store.catalogue import JobRecord, RevisionRecord, SeriesRecord

if TYPE_CHECKING:
    from slicebank_imaging.grouping import SeriesVerdict
    from slicebank_store.intake.study_intake import TakenIn
    from slicebank_store.intake.verdicts import Rejection


class RejectedFile(BaseModel):
    """A file that was not taken."""

    name: str
    code: str
    detail: str
    tag: str | None


class RefusedSeries(BaseModel):
    """A series of which nothing was taken."""

    series_uid: str
    code: str
    detail: str
    tag: str | None
    n_files: int


class UploadedSeries(BaseModel):
    """A stack of a series that was taken in."""

    series_uid: str
    study_uid: str
    n_slices: int
    geometry: dict[str, Any]
    stacks: list[dict[str, Any]]
    stack: int
    revision: int
    job_id: str
    bag_id: str | None
    state: str
    warnings: list[str]


class UploadAnswer(BaseModel):
    """What became of an upload, series by series and refused file by refused file."""

    series: list[UploadedSeries]
    rejected: list[RejectedFile]
    refused_series: list[RefusedSeries]


class SeriesView(BaseModel):
    """A series with its current revision; `n_slices` and `geometry` are of the default stack."""

    series_uid: str
    study_uid: str
    patient: str
    body_part: str
    revision: int
    n_slices: int
    geometry: dict[str, Any]
    stacks: list[dict[str, Any]]
    pixels_kept: bool
    warnings: list[str]
    created_at: str
    updated_at: str


class SeriesRevision(BaseModel):
    """One revision of a series."""

    revision: int
    current: bool
    n_slices: int
    default_stack: int
    stacks: list[dict[str, Any]]
    options: dict[str, Any]
    warnings: list[str]
    pixels_kept: bool
    created_at: str


class SeriesDetail(SeriesView):
    """A series with every revision, the first one first."""

    revisions: list[SeriesRevision]


class SeriesPage(BaseModel):
    """One page of series."""

    items: list[SeriesView]
    next_cursor: str | None


class BagAsked(BaseModel):
    """A bag that was asked for of a kept series."""

    series_uid: str
    stack: int
    revision: int
    n_slices: int
    job_id: str
    bag_id: str
    state: str


def uploaded(item: TakenIn, job: JobRecord | None) -> UploadedSeries:
    """What the answer to an upload says of one stack, with the state its job has by now."""
    submitted = item.submitted
    return UploadedSeries(
        series_uid=submitted.series_uid,
        study_uid=submitted.study_uid,
        n_slices=submitted.n_slices,
        geometry=submitted.geometry,
        stacks=submitted.stacks,
        stack=submitted.stack,
        revision=submitted.revision,
        job_id=submitted.job_id,
        bag_id=submitted.bag_id,
        state=(job.state if job is not None else submitted.state).value,
        warnings=list(item.warnings),
    )


def rejected(item: Rejection) -> RejectedFile:
    """What the answer to an upload says of one refused file."""
    return RejectedFile(name=item.name, code=item.code, detail=item.detail, tag=item.tag)


def refused_series(item: SeriesVerdict) -> RefusedSeries:
    """What the answer to an upload says of one series of which nothing was taken."""
    return RefusedSeries(
        series_uid=item.series_uid, code=item.code, detail=item.detail, tag=item.tag, n_files=item.n_files
    )


def series_view(series: SeriesRecord, current: RevisionRecord) -> SeriesView:
    """Shows a series with its current revision."""
    return SeriesView(**_shown(series, current))


def series_detail(series: SeriesRecord, revisions: Sequence[RevisionRecord]) -> SeriesDetail:
    """Shows a series with all its revisions."""
    current = next(item for item in revisions if item.revision == series.current_revision)
    listed = [
        SeriesRevision(
            revision=item.revision,
            current=item is current,
            n_slices=item.n_slices,
            default_stack=item.default_stack,
            stacks=item.stacks,
            options=item.options,
            warnings=item.warnings,
            pixels_kept=item.pixels_kept,
            created_at=iso(item.created_at),
        )
        for item in revisions
    ]
    return SeriesDetail(**_shown(series, current), revisions=listed)


def _shown(series: SeriesRecord, current: RevisionRecord) -> dict[str, Any]:
    default = next(stack for stack in current.stacks if stack["default"])
    return {
        "series_uid": series.series_uid,
        "study_uid": series.study_uid,
        "patient": series.patient,
        "body_part": series.body_part,
        "revision": current.revision,
        "n_slices": default["n_slices"],
        "geometry": default["geometry"],
        "stacks": current.stacks,
        "pixels_kept": current.pixels_kept,
        "warnings": current.warnings,
        "created_at": iso(series.created_at),
        "updated_at": iso(series.updated_at),
    }
