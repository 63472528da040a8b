"""What a stack still needs: nothing, a job that is at work already, or a new one (inside a transaction)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from slicebank_store.catalogue.incoming import EmbedRequest, IncomingStack, Submitted
from slicebank_store.catalogue.jobs.new import NewJob, active_twin, insert_job, insert_succeeded
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.catalogue.revisions import Known, StackRow
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import bags, jobs
from slicebank_store.identity import bag_id
from slicebank_store.recipe import Recipe
from slicebank_store.types import JSON, BagLevel, JobKind, JobState, PixelSource, Priority


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for one stack.

    Attributes:
        row: the stack.
        job: to be made, or found where an unfinished one makes the same.
        made: result of a job that has nothing left to do; None where there is work.
        bag_id: of the bag asked for.
    """

    known: Known
    row: StackRow
    job: NewJob
    made: JSON | None
    bag_id: str | None

    def apply(self, connection: Connection, now: float) -> Submitted:
        """Finds or writes the job."""
        if self.made is None:
            job, created = insert_job(connection, self.job, now)
        else:
            found = succeeded_job(connection, self.job)
            job, created = found or insert_succeeded(connection, self.job, self.made, now), False
        return Submitted(
            series_uid=self.row["series_uid"],
            study_uid=self.known.owner["study_uid"],
            revision=self.known.revision,
            stack=self.row["stack"],
            n_slices=self.row["n_slices"],
            geometry=self.row["geometry"],
            stacks=self.known.described(),
            job_id=job.job_id,
            bag_id=self.bag_id,
            state=job.state,
            hit=self.made is not None,
            created=created,
        )


def plan_upload(connection: Connection, known: Known, stack: IncomingStack, request: EmbedRequest) -> Plan | None:
    """How an uploaded stack gets what was asked for out of a revision; None where the revision cannot give it.

    Args:
        connection: in a write transaction.
        known: a revision that holds every slice of the upload.
        stack: as uploaded.
        request: what is to be done.
    """
    row = known.containing(stack)
    if row is None:
        return None
    whole = row["content_digest"] == stack.content_digest
    files = _manifest(known, row, stack.slices) if whole else None
    if request.recipe is None:
        return _plan_keeping(connection, known, row, files, request, bag=None)
    return _plan_embedding(connection, known, row, files, request, request.recipe)


def plan_kept(
    connection: Connection, known: Known, row: StackRow, recipe: Recipe, level: BagLevel, dim: int, priority: Priority
) -> Plan | None:
    """How a stack gets a bag without an upload; None where its pixels are not kept and no bag or job is there."""
    bag = _bag_id(row, recipe)
    params = _params(recipe, level, dim, retain=False, source=PixelSource.KEPT)
    job = _embed_job(row, bag, params, _kept_manifest(known, row), priority, None)
    twin = active_twin(connection, row["project"], job.subject)
    exists = _bag_exists(connection, row["project"], bag)
    if not exists and row["pixels_key"] is None and twin is None:
        return None
    return Plan(known, row, job, {"bag_id": bag} if exists else None, bag)


def _plan_embedding(
    connection: Connection, known: Known, row: StackRow, files: JSON | None, request: EmbedRequest, recipe: Recipe
) -> Plan | None:
    bag = _bag_id(row, recipe)
    source = PixelSource.STAGING if files is not None else PixelSource.KEPT
    params = _params(recipe, request.level, request.dim, retain=request.retain, source=source)
    manifest = files if files is not None else _kept_manifest(known, row)
    job = _embed_job(row, bag, params, manifest, request.priority, request.staging if files is not None else None)
    # The twin first: this waits for a worker who is just committing the bag, and then sees it.
    twin = active_twin(connection, row["project"], job.subject)
    exists = _bag_exists(connection, row["project"], bag)
    if exists or twin is not None:
        if (
            request.retain
            and row["pixels_key"] is None
            and files is not None
            and not (twin and twin.params.get("retain"))
        ):
            # The bag is there or on its way, the pixels are not: keep those, and end when both are done.
            return _plan_keeping(
                connection, known, row, files, request, bag=bag, waits_for=twin.job_id if twin else None
            )
        return Plan(known, row, job, {"bag_id": bag} if exists else None, bag)
    if files is None and row["pixels_key"] is None:
        return None
    return Plan(known, row, job, None, bag)


def _plan_keeping(
    connection: Connection,
    known: Known,
    row: StackRow,
    files: JSON | None,
    request: EmbedRequest,
    *,
    bag: str | None,
    waits_for: str | None = None,
) -> Plan | None:
    kept = row["pixels_key"] is not None
    job = NewJob(
        project=row["project"],
        kind=JobKind.IMPORT,
        priority=request.priority,
        series_uid=row["series_uid"],
        study_uid=known.owner["study_uid"],
        bag_id=bag,
        waits_for=waits_for,
        params={"retain": True, "source": PixelSource.STAGING.value},
        manifest=files if files is not None else _kept_manifest(known, row),
        staging=None if kept else request.staging,
    )
    if not kept and files is None and active_twin(connection, row["project"], job.subject) is None:
        return None
    return Plan(known, row, job, {"series": row["series_uid"]} if kept else None, bag)


def _embed_job(
    row: StackRow, bag: str, params: JSON, manifest: JSON, priority: Priority, staging: str | None
) -> NewJob:
    return NewJob(
        project=row["project"],
        kind=JobKind.EMBED,
        priority=priority,
        series_uid=row["series_uid"],
        study_uid=manifest["study_uid"],
        bag_id=bag,
        params=params,
        manifest=manifest,
        staging=staging,
    )


def _bag_id(row: StackRow, recipe: Recipe) -> str:
    return bag_id(row["project"], row["series_uid"], row["content_digest"], recipe.digest)


def _bag_exists(connection: Connection, project: str, bag: str) -> bool:
    query = select(bags.c.bag_id).where(bags.c.project == project, bags.c.bag_id == bag)
    return connection.execute(query).first() is not None


def _params(recipe: Recipe, level: BagLevel, dim: int, *, retain: bool, source: PixelSource) -> JSON:
    return {"recipe": recipe.as_dict(), "retain": retain, "source": source.value, "level": level.value, "dim": dim}


def _kept_manifest(known: Known, row: StackRow) -> JSON:
    return {**_manifest(known, row, row["slices"]), "pixels_key": row["pixels_key"]}


def _manifest(known: Known, row: StackRow, slices: list[JSON]) -> JSON:
    owner: Mapping[str, Any] = known.owner
    return {
        "series_uid": row["series_uid"],
        "study_uid": owner["study_uid"],
        "patient": owner["patient"],
        "body_part": owner["body_part"],
        "revision": known.revision,
        "stack": row["stack"],
        "content_digest": row["content_digest"],
        "slices": slices,
        "geometry": row["geometry"],
        "rescale": row["rescale"],
        "rows": row["rows"],
        "columns": row["columns"],
        "field_of_view_mm": row["field_of_view_mm"],
        "options": known.options,
    }


def succeeded_job(connection: Connection, job: NewJob) -> JobRecord | None:
    """The newest job that has made what another would make, or None."""
    query = (
        select(jobs)
        .where(jobs.c.project == job.project, jobs.c.subject == job.subject, jobs.c.state == JobState.SUCCEEDED.value)
        .order_by(jobs.c.created_at.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else to_record(JobRecord, row)
