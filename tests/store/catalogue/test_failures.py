"""What users are told when a real database is away, cut off, locked, full or wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, select, text, update

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.tables import series
from slicebank_store.errors import BadKey, CatalogueError, CatalogueUnavailable

from ..builders import PROJECT, series_of, stack_of, submit
from ..postgres import Postgres


def test_a_server_that_stops_and_starts_costs_no_statement_afterwards(postgres: Postgres, postgres_url: str) -> None:
    catalogue = Catalogue.open(postgres_url)
    submitted = submit(catalogue)
    postgres.stop()
    try:
        for ask in (catalogue.ping, lambda: submit(catalogue), lambda: Catalogue.open(postgres_url)):
            with pytest.raises(CatalogueUnavailable, match="does not answer"):
                ask()
    finally:
        postgres.start()
    assert submit(catalogue).job_id == submitted.job_id
    catalogue.close()


def test_a_connection_cut_within_a_transaction(postgres_url: str) -> None:
    database = Database(postgres_url)

    def cut() -> None:
        with database.write() as connection, database.write() as other:
            mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            other.execute(text("SELECT pg_terminate_backend(:mine)"), {"mine": mine})
            connection.execute(select(series))

    with pytest.raises(CatalogueUnavailable):
        cut()
    with database.read() as connection:
        assert connection.execute(select(series)).all() == []
    database.close()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_lock_that_others_hold_for_too_long(request: pytest.FixtureRequest, database: str) -> None:
    url: str = request.getfixturevalue(f"{database}_url")
    impatient = Catalogue.open(
        url + {"sqlite": "?timeout=0.05", "postgres": "?options=-c%20lock_timeout%3D50ms"}[database]
    )
    submit(impatient)
    holder = Database(url)
    with holder.write() as connection:
        connection.execute(select(series).with_for_update()).all()
        with pytest.raises(CatalogueUnavailable, match="held by another process") as raised:
            impatient.deletions.delete_series(PROJECT, "1.2.3")
    assert "1.2.3" not in str(raised.value.__cause__)
    assert impatient.deletions.delete_series(PROJECT, "1.2.3").found
    holder.close()
    impatient.close()


def test_a_process_that_is_paused_within_a_transaction_is_cut_off(postgres_url: str) -> None:
    paused = Database(postgres_url + "?options=-c%20idle_in_transaction_session_timeout%3D20ms")
    other = Database(postgres_url)
    lock = text("SELECT pg_advisory_xact_lock(1)")
    woken = threading.Event()

    def pause() -> None:
        with paused.write() as connection:
            connection.execute(lock)
            with other.write() as free:
                free.execute(lock)  # returns once the server has given the lock back
            woken.set()
            connection.execute(select(series))

    with pytest.raises(CatalogueUnavailable):
        pause()
    assert woken.is_set()
    other.close()
    paused.close()


def test_a_full_disk(sqlite_url: str) -> None:
    catalogue = Catalogue.open(sqlite_url)
    engine = catalogue._database._engine
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 110"))

    def fill() -> None:
        for number in range(100):
            submit(catalogue, series_of(stack_of(range(50)), series_uid=f"1.{number}"))

    with pytest.raises(CatalogueUnavailable, match="full: free space"):
        fill()
    assert catalogue.series.list(PROJECT).items, "what was accepted is there"
    catalogue.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CatalogueUnavailable, match="restore it from a backup"):
        Catalogue.open(f"sqlite:///{tmp_path / 'c.sqlite'}")


def test_a_server_that_refuses(postgres_url: str) -> None:
    for wrong in ("password=wrong", "dbname=nothing"):
        with pytest.raises(CatalogueUnavailable) as raised:
            Catalogue.open(f"{postgres_url}?{wrong}")
        assert "SLICEBANK_CATALOGUE_URL" in raised.value.detail


def test_values_that_a_database_cannot_hold(postgres_url: str) -> None:
    catalogue = Catalogue.open(postgres_url)
    for ask in (lambda: catalogue.series.get(PROJECT, "1\0"), lambda: submit(catalogue, series_of(patient="p" * 300))):
        with pytest.raises(BadKey, match="too long") as raised:
            ask()
        assert raised.value.__cause__ is None, "the cause would repeat the value"
    catalogue.close()


def test_other_databases_are_refused() -> None:
    with pytest.raises(CatalogueError, match="SQLite or PostgreSQL"):
        Database("mysql://host/db")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_addresses_of_postgresql(postgres_url: str, scheme: str) -> None:
    catalogue = Catalogue.open(postgres_url.replace("postgresql+psycopg", scheme))
    catalogue.ping()
    catalogue.close()


def test_transactions_that_wait_for_each_other_are_run_again(postgres_url: str) -> None:
    database = Database(postgres_url + "?options=-c%20deadlock_timeout%3D10ms")
    catalogue = Catalogue.open(postgres_url)
    for uid in ("1", "2"):
        submit(catalogue, series_of(series_uid=uid))
    barrier = threading.Barrier(2)
    tries: list[str] = []

    def swap(first: str, second: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            tries.append(first)
            for uid in (first, second):
                connection.execute(update(series).where(series.c.series_uid == uid).values(body_part=first))
                if uid == first and tries.count(first) == 1:
                    barrier.wait()

        return work

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(database.transact, (swap("1", "2"), swap("2", "1"))))
    assert len(tries) == 3
    assert len({one.body_part for one in catalogue.series.list(PROJECT).items}) == 1
    database.close()
    catalogue.close()


def test_readers_cannot_write(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(CatalogueUnavailable, match="only be read"), database.read() as connection:
        connection.execute(series.delete())
    database.close()
