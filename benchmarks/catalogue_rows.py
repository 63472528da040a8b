"""Rows of a catalogue that never saw a scan, made inside the database: a million series in a minute or two."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    Integer,
    String,
    Table,
    case,
    cast,
    create_engine,
    event,
    func,
    insert,
    literal,
    select,
    text,
)

from slicebank_store.catalogue.tables import bags, jobs, metadata, revisions, series, stacks
from slicebank_store.types import DEFAULT_PROJECT

BASE_TIME = 1_700_000_000.0
"""When series 0 arrived, seconds since 1970; the others came a second apart."""

BODY_PARTS = ("CHEST", "ABDOMEN", "HEAD", "SPINE", "PELVIS")
ENCODERS = ("mambaout_femto", "mambaout_tiny")
RECIPES_AN_ENCODER = 4
SERIES_A_STUDY, SERIES_A_PATIENT, SERIES_A_JOB = 2, 4, 10
SLICES = 100
_CHUNK = 100_000


def series_uid(number: int) -> str:
    """SeriesInstanceUID of a series."""
    return f"1.2.826.0.1.{number}"


def study_uid(number: int) -> str:
    """StudyInstanceUID of a series' study."""
    return f"1.2.826.0.2.{number // SERIES_A_STUDY}"


def patient(number: int) -> str:
    """Pseudonym of a series' patient."""
    return _md5(f"patient/{number // SERIES_A_PATIENT}")


def bag_id(number: int, encoder: int) -> str:
    """Id of a series' bag under one of `ENCODERS`."""
    return _md5(f"bag/{number}/{encoder}")


def recipe_digest(number: int, encoder: int) -> str:
    """Digest of that bag's recipe."""
    return 2 * _md5(f"recipe/{encoder}/{number % RECIPES_AN_ENCODER}")


def job_id(number: int) -> str:
    """Id of the job of a series whose number is a multiple of `SERIES_A_JOB`."""
    return _md5(f"job/{number}")


def fill(url: str, first: int, last: int) -> None:
    """Adds series `first` to `last` - 1, two bags for each and a job for every tenth.

    Args:
        url: of a catalogue of the present schema, which nobody uses meanwhile.
        first: number of the first new series.
        last: number after the last.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _hasten_sqlite)
    tables = (series, revisions, stacks, bags, jobs)
    indexes = [index for table in tables for index in sorted(table.indexes, key=lambda index: str(index.name))]
    many = last - first >= _CHUNK  # then it is quicker to build each index once
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Whether rows refer to each other is known here; checking two million costs minutes.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
        for index in indexes if many else ():
            index.drop(connection)
        for start in range(first, last, _CHUNK):
            _fill_chunk(connection, start, min(start + _CHUNK, last))
        for index in indexes if many else ():
            index.create(connection)
    _tidy(engine)
    engine.dispose()


def size_bytes(url: str) -> int:
    """Size of tables and indexes together."""
    engine = create_engine(url)
    question = {
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        "postgresql": "SELECT pg_database_size(current_database())",
    }
    with engine.connect() as connection:
        size = int(connection.execute(text(question[engine.dialect.name])).scalar_one())
    engine.dispose()
    return size


def _fill_chunk(connection: Connection, first: int, last: int) -> None:
    numbers = select(literal(first, Integer).label("n")).cte("numbers", recursive=True)
    n = numbers.c.n
    numbers = numbers.union_all(select(n + 1).where(n < last - 1))
    n = numbers.c.n
    created_at = cast(n, Double) + BASE_TIME
    mine = {"project": literal(DEFAULT_PROJECT), "series_uid": _joined("1.2.826.0.1.", n)}
    named = {
        "study_uid": _joined("1.2.826.0.2.", n // SERIES_A_STUDY),
        "patient": func.md5(_joined("patient/", n // SERIES_A_PATIENT)),
    }
    digest = _twice(_joined("content/", n))
    geometry = {"n_slices": SLICES, "spacing_mm": 2.5, "uniform": True}
    _add(
        connection,
        series,
        **mine,
        **named,
        body_part=case(dict(enumerate(BODY_PARTS)), value=n % len(BODY_PARTS)),
        current_revision=1,
        created_at=created_at,
        updated_at=created_at,
    )
    _add(
        connection,
        revisions,
        **mine,
        revision=1,
        n_slices=SLICES,
        default_stack=0,
        options={},
        warnings=[],
        created_at=created_at,
    )
    _add(
        connection,
        stacks,
        **mine,
        revision=1,
        stack=0,
        content_digest=digest,
        n_slices=SLICES,
        slices=[{"file": "0/0", "frame_number": 1, "z_mm": 0.0}],
        slice_digests=["0" * 64],
        geometry=geometry,
        rescale={"slope": 1.0, "intercept": -1024.0},
        rows=512,
        columns=512,
        field_of_view_mm=400.0,
        axial=True,
        pixels_key=None,
    )
    for encoder, name in enumerate(ENCODERS):
        made = func.md5(_joined("bag/", n, f"/{encoder}"))
        _add(
            connection,
            bags,
            **mine,
            **named,
            bag_id=made,
            revision=1,
            stack=0,
            encoder=name,
            recipe={"encoder": name, "windows": [{"name": "abdomen", "low": -175, "high": 275}], "size": 224},
            recipe_digest=_twice(_joined(f"recipe/{encoder}/", n % RECIPES_AN_ENCODER)),
            weights_digest="0" * 64,
            content_digest=digest,
            level="slice",
            n_rows=SLICES,
            n_slices=SLICES,
            dim=288,
            dtype="float16",
            windows=[{"name": "abdomen", "low": -175, "high": 275}],
            sha256=_twice(_joined("file/", n, f"/{encoder}")),
            size_bytes=100_000,
            blob_key=_joined(f"{DEFAULT_PROJECT}/bags/{name}/", made, "-1.h5"),
            created_at=created_at,
            skipped=[],
        )
    _fill_jobs(connection, n, mine["series_uid"], created_at)


def _fill_jobs(
    connection: Connection, n: ColumnElement[int], uid: ColumnElement[str], created_at: ColumnElement[float]
) -> None:
    """Of a hundred jobs 5 train, 10 predict and 85 embed; 95 of each succeeded, 3 failed, 1 was cancelled and 1 waits."""
    number = n // SERIES_A_JOB
    kind = case((number % 20 == 0, "train"), (number % 20 <= 2, "predict"), else_="embed")
    rest = (number * 7) % 100
    state = case((rest < 95, "succeeded"), (rest < 98, "failed"), (rest < 99, "cancelled"), else_="queued")
    made = func.md5(_joined("bag/", n, "/0"))
    ended = case((rest < 99, created_at + 30.0), else_=None)
    _add(
        connection,
        jobs,
        _where=n % SERIES_A_JOB == 0,
        project=literal(DEFAULT_PROJECT),
        job_id=func.md5(_joined("job/", n)),
        kind=kind,
        state=state,
        priority=case((number % 4 == 0, "interactive"), else_="bulk"),
        subject=_joined("", kind, ":", func.md5(_joined("subject/", n))),
        series_uid=uid,
        bag_id=made,
        head_id=case((kind == "train", func.md5(_joined("head/", n))), else_=None),
        prediction_id=case((kind == "predict", func.md5(_joined("prediction/", n))), else_=None),
        params={"retain": False, "source": "staging", "level": "slice", "dim": 288},
        progress_done=SLICES,
        progress_total=SLICES,
        progress_unit="slices",
        progress_best=SLICES,
        stages={"decode_s": 1.0, "encode_s": 20.0, "write_s": 0.1},
        attempts=1,
        lost_leases=0,
        result={},
        cancel_requested=False,
        created_at=created_at,
        started_at=created_at + 1.0,
        finished_at=ended,
        fence=1,
        worker="embed@host",
        not_before=created_at,
        dispatch_factor=1,
        size=SLICES,
    )


def _add(connection: Connection, table: Table, _where: Any = None, **columns: Any) -> None:
    """INSERT ... SELECT; constants take the type of their column."""
    values = [
        value if isinstance(value, ColumnElement) else literal(value, table.c[name].type)
        for name, value in columns.items()
    ]
    chosen = select(*values) if _where is None else select(*values).where(_where)
    connection.execute(insert(table).from_select(list(columns), chosen))


def _joined(start: str, *parts: Any) -> ColumnElement[str]:
    text_of: ColumnElement[str] = literal(start, String)
    for part in parts:
        text_of = text_of.concat(part if isinstance(part, str) else cast(part, String))
    return text_of


def _twice(part: ColumnElement[str]) -> ColumnElement[str]:
    """64 hexadecimal digits."""
    return func.md5(part).concat(func.md5(part))


def _md5(words: str) -> str:
    return hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()


def _hasten_sqlite(connection: Any, _record: Any) -> None:
    connection.create_function("md5", 1, _md5, deterministic=True)
    with closing(connection.cursor()) as cursor:
        # A file that is cut short here is made again.
        for setting in ("synchronous = OFF", "cache_size = -262144", "temp_store = MEMORY"):
            cursor.execute(f"PRAGMA {setting}")


def _tidy(engine: Engine) -> None:
    """What PostgreSQL does by itself within minutes; SQLite keeps no statistics unless it is asked to, and nobody does."""
    if engine.dialect.name != "postgresql":
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in metadata.sorted_tables:
            connection.execute(text(f"VACUUM ANALYZE {table.name}"))
        connection.execute(text("CHECKPOINT"))
