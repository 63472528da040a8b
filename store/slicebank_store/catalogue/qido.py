"""Searches for studies, series and instances, as QIDO-RS asks them (DICOM PS3.18 section 10.6): by offset, of current revisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, literal, select, tuple_

from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.tables import series, stacks
from slicebank_store.errors import SearchTooBroad

# SQLite before 3.32 takes 999 parameters in a statement.
_IN_CHUNK = 500
# The slices of a series are some 50 kB of JSON, half a millisecond to read: a search reads a second's worth of them, in pieces of a few MB.
MOST_SERIES_READ = 2_000
_SERIES_CHUNK = 40


@dataclass(frozen=True, slots=True)
class Matching:
    """What must be true of a series; an empty collection asks for nothing.

    Attributes:
        patients: pseudonyms.
    """

    study_uids: Collection[str] = ()
    series_uids: Collection[str] = ()
    patients: Collection[str] = ()
    body_parts: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """One series.

    Attributes:
        body_part: empty where the files name none.
        n_instances: files of its current revision.
    """

    study_uid: str
    series_uid: str
    patient: str
    body_part: str
    n_instances: int


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """One study, of which at least one series matches.

    Attributes:
        patient: of its first series.
        series: all its series, the first taken in first.
    """

    study_uid: str
    patient: str
    series: tuple[FoundSeries, ...]


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """One file of a series.

    Attributes:
        instance_number: None where the file has none.
        slice_location_mm: position along the stack's normal; None of a file of several slices.
        slice_thickness_mm: None where the slices of its stack differ, or none says.
    """

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    patient: str
    body_part: str
    instance_number: int | None
    rows: int
    columns: int
    slice_location_mm: float | None
    slice_thickness_mm: float | None


class Qido:
    """Searches of one catalogue. What is found keeps its order while series are added."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies(self, project: str, matching: Matching, *, limit: int, offset: int = 0) -> list[FoundStudy]:
        """Studies in the order of their UIDs, which is the one that the index of studies gives for nothing."""
        uid = series.c.study_uid.concat("") if _few(matching) else series.c.study_uid
        query = select(uid).where(*_conditions(project, matching)).distinct().order_by(uid).limit(limit).offset(offset)
        with self._database.read() as connection:
            study_uids = list(connection.execute(query).scalars())
            members: dict[str, list[FoundSeries]] = {study_uid: [] for study_uid in study_uids}
            for chunk in _chunks(study_uids, _IN_CHUNK):
                which = select(series).where(series.c.project == project, series.c.study_uid.in_(chunk))
                # Sorted here, for the reason that `_few` gives.
                rows = sorted(
                    connection.execute(which).mappings(), key=lambda row: (row["created_at"], row["series_uid"])
                )
                for found in _described(connection, project, rows):
                    members[found.study_uid].append(found)
        return [FoundStudy(uid, found[0].patient, tuple(found)) for uid, found in members.items()]

    def series(self, project: str, matching: Matching, *, limit: int, offset: int = 0) -> list[FoundSeries]:
        """Series, the first taken in first."""
        query = select(series).where(*_conditions(project, matching)).order_by(*_age(matching))
        query = query.limit(limit).offset(offset)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
            return _described(connection, project, rows)

    def instances(
        self,
        project: str,
        matching: Matching,
        *,
        sop_instance_uids: Collection[str] = (),
        limit: int,
        offset: int = 0,
    ) -> list[FoundInstance]:
        """Instances: the first taken in series first, stack by stack, inferior to superior.

        Args:
            project: the project.
            matching: of their series.
            sop_instance_uids: their own; all where empty.
            limit: at most so many.
            offset: so many are skipped.

        Raises:
            SearchTooBroad: more series would have to be read than `MOST_SERIES_READ`.
        """
        wanted = frozenset(sop_instance_uids)
        with self._database.read() as connection:
            found = (
                instance
                for rows in self._walk(connection, project, matching)
                for instance in _instances(connection, project, rows)
                if not wanted or instance.sop_instance_uid in wanted
            )
            return list(islice(found, offset, offset + limit))

    @staticmethod
    def _walk(connection: Connection, project: str, matching: Matching) -> Iterator[Sequence[RowMapping]]:
        """Series that match, some at a time."""
        age = _age(matching)
        query = select(series).where(*_conditions(project, matching)).order_by(*age).limit(_SERIES_CHUNK)
        rows = connection.execute(query).mappings().all()
        read = 0
        while rows:
            if read >= MOST_SERIES_READ:
                raise SearchTooBroad(
                    f"more than {MOST_SERIES_READ} series would have to be read; name StudyInstanceUID or SeriesInstanceUID"
                )
            yield rows
            read += len(rows)
            if len(rows) < _SERIES_CHUNK:
                return
            last = rows[-1]
            behind = tuple_(
                literal(last["created_at"], series.c.created_at.type),
                literal(last["series_uid"], series.c.series_uid.type),
            )
            rows = connection.execute(query.where(tuple_(*age) > behind)).mappings().all()


def _chunks(values: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    rest = iter(values)
    while chunk := tuple(islice(rest, size)):
        yield chunk


def _few(matching: Matching) -> bool:
    """Whether few series can match.

    They are sorted by an expression that no index has: without statistics, SQLite would walk the index of all series for the sake of
    its order.
    """
    return bool(matching.study_uids or matching.series_uids or matching.patients)


def _age(matching: Matching) -> tuple[ColumnElement[float], ColumnElement[str]]:
    return series.c.created_at + 0.0 if _few(matching) else series.c.created_at, series.c.series_uid


def _conditions(project: str, matching: Matching) -> list[ColumnElement[bool]]:
    conditions = [series.c.project == project]
    for column, values in (
        (series.c.study_uid, matching.study_uids),
        (series.c.series_uid, matching.series_uids),
        (series.c.patient, matching.patients),
        (series.c.body_part, matching.body_parts),
    ):
        if len(values) == 1:
            conditions.append(column == next(iter(values)))
        elif values:
            conditions.append(column.in_(sorted(values)))
    return conditions


def _current() -> ColumnElement[bool]:
    return and_(
        stacks.c.project == series.c.project,
        stacks.c.series_uid == series.c.series_uid,
        stacks.c.revision == series.c.current_revision,
    )


def _described(connection: Connection, project: str, rows: Sequence[RowMapping]) -> list[FoundSeries]:
    counts = _instance_counts(connection, project, [row["series_uid"] for row in rows])
    return [
        FoundSeries(
            study_uid=row["study_uid"],
            series_uid=row["series_uid"],
            patient=row["patient"],
            body_part=row["body_part"],
            n_instances=counts[row["series_uid"]],
        )
        for row in rows
    ]


def _instance_counts(connection: Connection, project: str, series_uids: Sequence[str]) -> dict[str, int]:
    """Files of each series. A slice is a file, but for multi-frame ones: those are told by two of their slices, and then counted."""
    first, second = stacks.c.slices[0], stacks.c.slices[1]
    query = select(
        stacks.c.series_uid,
        stacks.c.n_slices,
        first["sop_instance_uid"].as_string().label("first_uid"),
        first["frame_number"].as_integer().label("first_frame"),
        second["sop_instance_uid"].as_string().label("second_uid"),
        second["frame_number"].as_integer().label("second_frame"),
    ).join(series, _current())
    counts = dict.fromkeys(series_uids, 0)
    several_frames = set()
    for chunk in _chunks(series_uids, _IN_CHUNK):
        which = query.where(stacks.c.project == project, stacks.c.series_uid.in_(chunk))
        for row in connection.execute(which).mappings():
            counts[row["series_uid"]] += row["n_slices"]
            single = row["first_frame"] == 1 and (row["n_slices"] == 1 or row["second_frame"] == 1)
            if not single or row["first_uid"] == row["second_uid"]:
                several_frames.add(row["series_uid"])
    for chunk in _chunks(sorted(several_frames), _SERIES_CHUNK):
        whole = select(stacks.c.series_uid, stacks.c.slices).join(series, _current())
        whole = whole.where(stacks.c.project == project, stacks.c.series_uid.in_(chunk))
        files: dict[str, set[str]] = {}
        for row in connection.execute(whole).mappings():
            files.setdefault(row["series_uid"], set()).update(ref["sop_instance_uid"] for ref in row["slices"])
        counts.update({series_uid: len(found) for series_uid, found in files.items()})
    return counts


def _instances(connection: Connection, project: str, rows: Sequence[RowMapping]) -> Iterator[FoundInstance]:
    query = select(stacks.c.series_uid, stacks.c.slices, stacks.c.geometry, stacks.c.rows, stacks.c.columns).join(
        series, _current()
    )
    which = query.where(stacks.c.project == project, stacks.c.series_uid.in_([row["series_uid"] for row in rows]))
    members: dict[str, list[RowMapping]] = {}
    for stack in connection.execute(which.order_by(stacks.c.series_uid, stacks.c.stack)).mappings():
        members.setdefault(stack["series_uid"], []).append(stack)
    for row in rows:
        # By SOP instance UID: a multi-frame file is one instance, also where its frames lie in several stacks.
        slices: dict[str, list[tuple[RowMapping, dict[str, Any]]]] = {}
        for stack in members.get(row["series_uid"], []):
            for ref in stack["slices"]:
                slices.setdefault(ref["sop_instance_uid"], []).append((stack, ref))
        for sop_instance_uid, refs in slices.items():
            stack, ref = refs[0]
            thicknesses = stack["geometry"].get("slice_thickness_mm") or []
            yield FoundInstance(
                study_uid=row["study_uid"],
                series_uid=row["series_uid"],
                sop_instance_uid=sop_instance_uid,
                patient=row["patient"],
                body_part=row["body_part"],
                instance_number=ref["instance_number"],
                rows=stack["rows"],
                columns=stack["columns"],
                slice_location_mm=ref["z_mm"] if len(refs) == 1 and ref["frame_number"] == 1 else None,
                slice_thickness_mm=thicknesses[0] if len(thicknesses) == 1 else None,
            )
