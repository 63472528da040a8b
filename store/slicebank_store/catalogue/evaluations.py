"""Evaluations: a head version measured on a labelled cohort that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select, update

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.jobs.new import NewJob, insert_job
from slicebank_store.catalogue.paging import fetch_page
from slicebank_store.catalogue.records import JobRecord, Page
from slicebank_store.catalogue.serving_tables import evaluations
from slicebank_store.identity import new_id
from slicebank_store.types import JSON, JobKind


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One evaluation.

    Attributes:
        name: what the sender calls the cohort.
        n_cases: cases measured.
        leakage: `left_out` and `patients`: how many cases, of how many patients, the head had learnt from.
        result: figures and predictions; None until the job has succeeded.
    """

    project: str
    evaluation_id: str
    head_id: str
    job_id: str
    name: str
    n_cases: int
    leakage: JSON
    result: JSON | None
    created_at: float
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class NewEvaluation:
    """An evaluation to be."""

    project: str
    head_id: str
    name: str
    n_cases: int
    leakage: JSON
    evaluation_id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """What a job measured."""

    evaluation_id: str
    result: JSON


class Evaluations:
    """Evaluations of all projects."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def create(self, new: NewEvaluation, *, params: JSON) -> tuple[EvaluationRecord, JobRecord]:
        """Writes an evaluation and the job that carries it out."""
        job = NewJob(
            project=new.project,
            kind=JobKind.EVALUATE,
            head_id=new.head_id,
            params={**params, "evaluation_id": new.evaluation_id, "head_id": new.head_id},
        )

        def write(connection: Connection) -> tuple[EvaluationRecord, JobRecord]:
            now = self._clock()
            record = EvaluationRecord(
                new.project,
                new.evaluation_id,
                new.head_id,
                job.job_id,
                new.name,
                new.n_cases,
                new.leakage,
                None,
                now,
                None,
            )
            values = {name: getattr(record, name) for name in EvaluationRecord.__slots__}
            connection.execute(insert(evaluations).values(values))
            return record, insert_job(connection, job, now)[0]

        return self._database.transact(write)

    def get(self, project: str, evaluation_id: str) -> EvaluationRecord | None:
        """The evaluation, or None."""
        query = select(evaluations).where(
            evaluations.c.project == project, evaluations.c.evaluation_id == evaluation_id
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else EvaluationRecord(**row)

    def list(
        self, project: str, head_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[EvaluationRecord]:
        """Evaluations of a head version, newest first.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(evaluations).where(evaluations.c.project == project, evaluations.c.head_id == head_id)
        with self._database.read() as connection:
            rows, following = fetch_page(
                connection,
                query,
                created_at=evaluations.c.created_at,
                identifier=evaluations.c.evaluation_id,
                limit=limit,
                cursor=cursor,
            )
        return Page([EvaluationRecord(**row) for row in rows], following)


def complete_evaluation(connection: Connection, project: str, outcome: EvaluationOutcome, now: float) -> bool:
    """Writes what was measured; False where the head was deleted meanwhile."""
    which = (evaluations.c.project == project, evaluations.c.evaluation_id == outcome.evaluation_id)
    written = update(evaluations).where(*which).values(result=outcome.result, finished_at=now)
    return connection.execute(written).rowcount == 1
