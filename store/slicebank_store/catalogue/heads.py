"""Heads: names that group versions. A name means its promoted version."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, func, insert, or_, select

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.jobs.new import NewJob, insert_job
from slicebank_store.catalogue.paging import fetch_page
from slicebank_store.catalogue.promotions import Promotion, Reason, history, promote, roll_back
from slicebank_store.catalogue.records import HeadRecord, JobRecord, Page
from slicebank_store.catalogue.rows import columns_of, to_record
from slicebank_store.catalogue.tables import head_reports, head_series, heads
from slicebank_store.errors import BadKey, NotPromotable, UnknownHead
from slicebank_store.identity import check_name, is_id, new_id
from slicebank_store.types import JSON, BagLevel, HeadPart, HeadState, JobKind, Priority


@dataclass(frozen=True, slots=True)
class NewHead:
    """A head version to be trained.

    Attributes:
        name: groups versions; never of the form of an id.
        dim: D, length of the rows it reads.
        recipe: `Recipe.as_dict()` of its bags.
        n_cases: what is learnt from at once; None where each series is one case.
        task: kind and labels.
        training: training settings.
        series_uids: series it learns from.
        patients: patient of each, by series.
        head: architecture and its sizes.
        protocol: how it is judged.
    """

    project: str
    name: str
    encoder: str
    level: BagLevel
    dim: int
    recipe: JSON
    recipe_digest: str
    task: JSON
    training: JSON
    series_uids: tuple[str, ...]
    patients: Mapping[str, str] = field(default_factory=dict)
    head: JSON = field(default_factory=dict)
    protocol: JSON = field(default_factory=dict)
    n_cases: int | None = None
    head_id: str = field(default_factory=new_id)


class Heads:
    """Head versions of all projects. Where a name has ready versions, exactly one of them is promoted."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        new: NewHead,
        *,
        params: JSON,
        manifest: JSON,
        priority: Priority = Priority.INTERACTIVE,
        waits_for: str | None = None,
    ) -> tuple[HeadRecord, JobRecord]:
        """Writes the next version of a name and the job that trains it.

        Args:
            new: the head.
            params: small part of what the job is to do.
            manifest: bulky part: bags, labels, patients.
            priority: of the job.
            waits_for: id of a job that must succeed first.

        Raises:
            BadKey: the name is not usable, or has the form of an id.
        """
        check_name(new.name)
        if is_id(new.name):
            msg = f"{new.name!r} looks like the id of a head: choose another name."
            raise BadKey(msg)
        job = NewJob(
            project=new.project,
            kind=JobKind.TRAIN,
            priority=priority,
            head_id=new.head_id,
            waits_for=waits_for,
            params=params,
            manifest=manifest,
        )

        def write(connection: Connection) -> tuple[HeadRecord, JobRecord]:
            now = self._clock()
            highest = select(func.max(heads.c.version)).where(heads.c.project == new.project, heads.c.name == new.name)
            version = (connection.execute(highest).scalar_one_or_none() or 0) + 1
            connection.execute(insert(heads).values(_first_row(new, version, job.job_id, now)))
            if new.series_uids:
                rows = [
                    {
                        "project": new.project,
                        "head_id": new.head_id,
                        "series_uid": uid,
                        "patient": new.patients.get(uid),
                        "part": HeadPart.TRAIN.value,
                    }
                    for uid in sorted(set(new.series_uids))
                ]
                connection.execute(insert(head_series), rows)
            record, _ = insert_job(connection, job, now)
            return _get(connection, new.project, new.head_id), record

        return self._database.transact(write)

    def get(self, project: str, head_id: str) -> HeadRecord | None:
        """The head version, or None."""
        query = select(heads).where(heads.c.project == project, heads.c.head_id == head_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_record(HeadRecord, row)

    def resolve(self, project: str, name_or_id: str) -> HeadRecord | None:
        """The version that an id names, or the promoted one of a name; while none is ready, the newest; or None."""
        query = select(heads).where(heads.c.project == project)
        if is_id(name_or_id):
            query = query.where(heads.c.head_id == name_or_id)
        else:
            query = query.where(heads.c.name == name_or_id)
        query = query.order_by(heads.c.promoted.desc(), heads.c.version.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_record(HeadRecord, row)

    def versions(self, project: str, name: str) -> tuple[HeadRecord, ...]:
        """Every version of a name, newest first."""
        query = select(heads).where(heads.c.project == project, heads.c.name == name).order_by(heads.c.version.desc())
        with self._database.read() as connection:
            return tuple(to_record(HeadRecord, row) for row in connection.execute(query).mappings())

    def list(
        self,
        project: str,
        *,
        name: str | None = None,
        encoder: str | None = None,
        state: HeadState | None = None,
        promoted: bool | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[HeadRecord]:
        """Head versions of a project, newest first.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(*columns_of(HeadRecord, heads)).where(heads.c.project == project)
        for column, value in ((heads.c.name, name), (heads.c.encoder, encoder), (heads.c.state, state)):
            if value is not None:
                query = query.where(column == str(value))
        if promoted is not None:
            query = query.where(heads.c.promoted == promoted)
        with self._database.read() as connection:
            rows, following = fetch_page(
                connection, query, created_at=heads.c.created_at, identifier=heads.c.head_id, limit=limit, cursor=cursor
            )
        return Page([to_record(HeadRecord, row) for row in rows], following)

    def report(self, project: str, head_id: str) -> JSON | None:
        """What a training wrote beside the metrics, or None before it ended."""
        query = select(head_reports.c.report).where(
            head_reports.c.project == project, head_reports.c.head_id == head_id
        )
        with self._database.read() as connection:
            found: JSON | None = connection.execute(query).scalar_one_or_none()
        return found

    def promote(self, project: str, head_id: str) -> HeadRecord:
        """Makes a version what its name means.

        Raises:
            UnknownHead: the project has no such version.
            NotPromotable: it is not trained.
        """

        def write(connection: Connection) -> HeadRecord:
            head = _get(connection, project, head_id)
            lock_versions(connection, project, head.name)
            head = _get(connection, project, head_id)
            if head.state is not HeadState.READY:
                msg = (
                    f"Version {head.version} of {head.name} is {head.state.value}: only ready versions can be promoted."
                )
                raise NotPromotable(msg)
            promote(connection, head, Reason.PROMOTED, self._clock())
            return _get(connection, project, head_id)

        return self._database.transact(write)

    def roll_back(self, project: str, name: str) -> HeadRecord:
        """Makes a name mean the version that it meant before; again, the one before that.

        Raises:
            UnknownHead: the project has no head of this name.
            NoEarlierVersion: the name meant nothing else before that is still there.
        """

        def write(connection: Connection) -> HeadRecord:
            locked = [to_record(HeadRecord, row) for row in lock_versions(connection, project, name)]
            if not locked:
                msg = f"There is no head {name[:40]}: see the list of heads."
                raise UnknownHead(msg)
            ready = {head.head_id: head for head in locked if head.state is HeadState.READY}
            return _get(connection, project, roll_back(connection, ready, project, name, self._clock()))

        return self._database.transact(write)

    def promotions(self, project: str, name: str) -> tuple[Promotion, ...]:
        """What a name has meant, oldest first."""
        with self._database.read() as connection:
            return history(connection, project, name)

    def learnt_from(
        self, project: str, head_id: str, *, series_uids: Collection[str], patients: Collection[str]
    ) -> bool:
        """Whether a head version has learnt from any of these series or patients; what it was only tested on does not count."""
        query = (
            select(head_series.c.series_uid)
            .where(head_series.c.project == project, head_series.c.head_id == head_id)
            .where(head_series.c.part == HeadPart.TRAIN.value)
            .where(or_(head_series.c.series_uid.in_(series_uids), head_series.c.patient.in_(patients)))
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def learnt_patients(self, project: str, head_id: str) -> tuple[frozenset[str], frozenset[str]]:
        """The series and the patients that a head version has learnt from."""
        query = select(head_series.c.series_uid, head_series.c.patient).where(
            head_series.c.project == project,
            head_series.c.head_id == head_id,
            head_series.c.part == HeadPart.TRAIN.value,
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return frozenset(row.series_uid for row in rows), frozenset(row.patient for row in rows if row.patient)


def lock_versions(connection: Connection, project: str, name: str) -> list[RowMapping]:
    """Every version of a name, locked in the order of their ids, so that no two transactions wait for each other."""
    query = select(heads).where(heads.c.project == project, heads.c.name == name).order_by(heads.c.head_id)
    return list(connection.execute(query.with_for_update()).mappings())


def _get(connection: Connection, project: str, head_id: str) -> HeadRecord:
    query = select(heads).where(heads.c.project == project, heads.c.head_id == head_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        msg = f"There is no head {head_id[:40]}: see the list of heads."
        raise UnknownHead(msg)
    return to_record(HeadRecord, row)


def _first_row(new: NewHead, version: int, job_id: str, now: float) -> dict[str, object]:
    return {
        "project": new.project,
        "head_id": new.head_id,
        "name": new.name,
        "version": version,
        "state": HeadState.TRAINING.value,
        "promoted": False,
        "encoder": new.encoder,
        "level": new.level.value,
        "dim": new.dim,
        "recipe": new.recipe,
        "recipe_digest": new.recipe_digest,
        "task": new.task,
        "training": new.training,
        "metrics": None,
        "job_id": job_id,
        "head": new.head,
        "protocol": new.protocol,
        "n_cases": len(new.series_uids) if new.n_cases is None else new.n_cases,
        "training_data_deleted": False,
        "created_at": now,
        "finished_at": None,
    }
