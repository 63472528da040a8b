"""Putting a failed or cancelled job back into the queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from slicebank_store.catalogue.jobs.new import ACTIVE_STATES, active_twin
from slicebank_store.catalogue.jobs.transitions import dependency_sentence, settle_head
from slicebank_store.catalogue.tables import bags, heads, jobs, manifests, predictions, stacks
from slicebank_store.errors import NotRetryable
from slicebank_store.types import HeadState, JobKind, JobState, PixelSource, StudySource

_STUDY_SOURCES = frozenset(source.value for source in StudySource)


def retry_row(connection: Connection, row: RowMapping, now: float, staged: Callable[[str], bool] | None) -> None:
    """Queues a job again with all attempts.

    Raises:
        NotRetryable: the sentence says why not, and what to do instead.
    """
    job_id = row["job_id"]
    state = JobState(row["state"])
    if state not in (JobState.FAILED, JobState.CANCELLED):
        msg = f"Job {job_id} is {state.value}: only failed and cancelled jobs can be retried."
        raise NotRetryable(msg)
    twin = active_twin(connection, row["project"], row["subject"])
    if twin is not None:
        msg = f"Job {twin.job_id} does the same work already: wait for that one."
        raise NotRetryable(msg)
    kind = JobKind(row["kind"])
    if kind is JobKind.IMPORT and row["params"].get("source") in _STUDY_SOURCES:
        _check_staged(row, staged)
    elif kind in (JobKind.EMBED, JobKind.IMPORT):
        _check_series(connection, row, staged)
    elif kind is JobKind.PULL:
        pass  # all it needs is in its parameters, and what was fetched is gone on with
    elif kind is JobKind.PREDICT:
        _check_prediction(connection, row)
    elif kind is JobKind.EVALUATE:
        _check_head(connection, row)
    else:
        _check_head(connection, row)
        settle_head(connection, row, HeadState.TRAINING, None)
    values: dict[str, Any] = {
        "state": JobState.QUEUED.value,
        "waits_for": _dependency(connection, row),
        "progress_done": 0,
        "progress_best": 0,
        "stages": {},
        "attempts": 0,
        "lost_leases": 0,
        "error_code": None,
        "error_detail": None,
        "result": None,
        "cancel_requested": False,
        "started_at": None,
        "finished_at": None,
        "lease_until": None,
        "not_before": now,
        "dispatched_at": None,
        "dispatch_factor": 1,
    }
    connection.execute(update(jobs).where(jobs.c.project == row["project"], jobs.c.job_id == job_id).values(values))


def _check_series(connection: Connection, row: RowMapping, staged: Callable[[str], bool] | None) -> None:
    project = row["project"]
    made = select(bags.c.bag_id).where(bags.c.project == project, bags.c.bag_id == row["bag_id"])
    if row["kind"] == JobKind.EMBED.value and connection.execute(made).first() is not None:
        msg = f"Bag {row['bag_id']} exists already: there is nothing to do again."
        raise NotRetryable(msg)
    query = select(manifests.c.manifest).where(manifests.c.project == project, manifests.c.job_id == row["job_id"])
    manifest = connection.execute(query).scalar_one()
    stack = select(stacks.c.pixels_key).where(
        stacks.c.project == project,
        stacks.c.series_uid == row["series_uid"],
        stacks.c.revision == manifest["revision"],
        stacks.c.stack == manifest["stack"],
    )
    found = connection.execute(stack).first()
    if found is None:
        msg = "The series was deleted: upload it again."
        raise NotRetryable(msg)
    if row["params"].get("source") == PixelSource.KEPT.value:
        if found[0] is None:
            msg = "The kept pixels of the series are gone: upload it again."
            raise NotRetryable(msg)
    else:
        _check_staged(row, staged)


def _check_staged(row: RowMapping, staged: Callable[[str], bool] | None) -> None:
    if row["staging"] is None or (staged is not None and not staged(row["staging"])):
        msg = "The uploaded files are no longer in staging: upload the series again."
        raise NotRetryable(msg)


def _check_prediction(connection: Connection, row: RowMapping) -> None:
    query = select(predictions.c.prediction_id).where(
        predictions.c.project == row["project"], predictions.c.prediction_id == row["prediction_id"]
    )
    if connection.execute(query).first() is not None:
        msg = f"Prediction {row['prediction_id']} exists already: there is nothing to do again."
        raise NotRetryable(msg)
    _check_head(connection, row)


def _check_head(connection: Connection, row: RowMapping) -> None:
    query = select(heads.c.head_id).where(heads.c.project == row["project"], heads.c.head_id == row["head_id"])
    if connection.execute(query.with_for_update()).first() is None:
        msg = "The head was deleted: ask for another one."
        raise NotRetryable(msg)


def _dependency(connection: Connection, row: RowMapping) -> str | None:
    waits_for: str | None = row["waits_for"]
    if waits_for is None:
        return None
    query = select(jobs.c.state).where(jobs.c.project == row["project"], jobs.c.job_id == waits_for).with_for_update()
    state = connection.execute(query).scalar_one_or_none()
    if state == JobState.SUCCEEDED.value:
        return None
    if state in ACTIVE_STATES:
        return waits_for
    raise NotRetryable(dependency_sentence(waits_for, state or "deleted"))
