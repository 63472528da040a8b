"""Predictions: answers of head versions about bags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, and_, select

from slicebank_store.catalogue.chunks import chunks
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.groups import join_group
from slicebank_store.catalogue.jobs.effects import add_prediction
from slicebank_store.catalogue.jobs.new import NewJob, insert_job, insert_succeeded
from slicebank_store.catalogue.planning import succeeded_job
from slicebank_store.catalogue.records import JobRecord, PredictionRecord
from slicebank_store.catalogue.rows import to_record
from slicebank_store.catalogue.tables import group_jobs, group_refusals, jobs, predictions
from slicebank_store.types import JSON, JobKind, JobState

# Jobs that one transaction makes: some 100 ms, for which SQLite lets nobody else write.
_CHUNK = 50


@dataclass(frozen=True, slots=True)
class GroupAnswer:
    """What a head said of one case of a group, or why it said nothing.

    Attributes:
        case: its number, from 0.
        state: of its job; failed where the case was refused.
        code: of the failure; None where there is none.
        outputs: as in `PredictionRecord`; empty while there is no answer.
    """

    case: int
    job_id: str | None
    state: JobState
    series_uid: str | None
    study_uid: str | None
    bag_id: str | None
    prediction_id: str | None
    head_id: str | None
    code: str | None
    detail: str | None
    outputs: Sequence[JSON]
    about: JSON


class Predictions:
    """Predictions of all projects. Jobs write them; see `Jobs.succeed`."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def get(self, project: str, prediction_id: str) -> PredictionRecord | None:
        """The prediction, or None. Its id follows from project, head and bag: see `identity.prediction_id`."""
        query = select(predictions).where(
            predictions.c.project == project, predictions.c.prediction_id == prediction_id
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_record(PredictionRecord, row)

    def add(self, prediction: PredictionRecord) -> bool:
        """Writes an answer that no job asked for; False where its bag or head is gone. One that is there already stays."""

        def write(connection: Connection) -> bool:
            return add_prediction(connection, prediction)

        return self._database.transact(write)

    def latest(self, project: str, head_id: str, *, limit: int) -> list[PredictionRecord]:
        """The last answers of a head version, newest first."""
        query = (
            select(predictions)
            .where(predictions.c.project == project, predictions.c.head_id == head_id)
            .order_by(predictions.c.created_at.desc(), predictions.c.prediction_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [to_record(PredictionRecord, row) for row in connection.execute(query).mappings()]

    def ask_many(self, project: str, group_id: str, wanted: Sequence[tuple[int, NewJob]]) -> list[JobRecord]:
        """Makes the predict jobs of a group's cases; of answers that are known, jobs that have nothing left to do.

        Args:
            project: the group's project.
            group_id: the group.
            wanted: number of each case, and its job.

        Returns:
            The jobs that were made and can run at once.

        Raises:
            UnknownGroup: the project has no such group.
        """
        made: list[JobRecord] = []
        for part in chunks(wanted, _CHUNK):
            made.extend(self._database.transact(partial(self._ask, project, group_id, part)))
        return made

    def _ask(
        self, project: str, group_id: str, wanted: Sequence[tuple[int, NewJob]], connection: Connection
    ) -> list[JobRecord]:
        now = self._clock()
        made = []
        for case, new in wanted:
            query = select(predictions.c.prediction_id).where(
                predictions.c.project == project, predictions.c.prediction_id == new.prediction_id
            )
            if connection.execute(query).first() is None:
                job, created = insert_job(connection, new, now)
                if created and job.state is JobState.QUEUED and job.waits_for is None:
                    made.append(job)
            else:
                result = {"prediction_id": new.prediction_id}
                job = succeeded_job(connection, new) or insert_succeeded(connection, new, result, now)
            join_group(connection, project, group_id, case, [job.job_id])
        return made

    def of_group(self, project: str, group_id: str) -> list[GroupAnswer]:
        """What a head said of the cases of a group, by case; cases that were not sent yet are missing."""
        mine = and_(group_jobs.c.project == project, group_jobs.c.group_id == group_id)
        with_jobs = group_jobs.join(
            jobs, and_(jobs.c.project == group_jobs.c.project, jobs.c.job_id == group_jobs.c.job_id)
        ).join(
            predictions,
            and_(predictions.c.project == jobs.c.project, predictions.c.prediction_id == jobs.c.prediction_id),
            isouter=True,
        )
        columns = (group_jobs.c.case_number, *(jobs.c[name] for name in _OF_JOBS), predictions.c.study_uid)
        answers = (
            select(*columns, predictions.c.outputs, predictions.c.about)
            .select_from(with_jobs)
            .where(mine, jobs.c.kind == JobKind.PREDICT.value)
        )
        refused = select(group_refusals.c.case_number, group_refusals.c.code, group_refusals.c.detail).where(
            group_refusals.c.project == project, group_refusals.c.group_id == group_id
        )
        with self._database.read() as connection:
            found = [
                GroupAnswer(
                    case=row.case_number,
                    job_id=row.job_id,
                    state=JobState(row.state),
                    series_uid=row.series_uid,
                    study_uid=row.study_uid,
                    bag_id=row.bag_id,
                    prediction_id=row.prediction_id,
                    head_id=row.head_id,
                    code=row.error_code,
                    detail=row.error_detail,
                    outputs=row.outputs or (),
                    about=row.about or {},
                )
                for row in connection.execute(answers)
            ]
            answered = {item.case for item in found}
            found += [
                _refused(row.case_number, row.code, row.detail)
                for row in connection.execute(refused)
                if row.case_number not in answered
            ]
        return sorted(found, key=lambda item: item.case)


_OF_JOBS = ("job_id", "state", "series_uid", "bag_id", "prediction_id", "head_id", "error_code", "error_detail")


def _refused(case: int, code: str, detail: str) -> GroupAnswer:
    return GroupAnswer(case, None, JobState.FAILED, None, None, None, None, None, code, detail, (), {})
