from __future__ import annotations

import gzip
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import create_engine, select, text

from slicebank_store.blobs import DirectoryBlobs
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.schema import SCHEMA_REVISION, current_revision, migration_config
from slicebank_store.catalogue.tables import metadata
from slicebank_store.errors import BadBackup, CatalogueNotEmpty, SchemaMismatch
from slicebank_store.upkeep.backup import back_up, restore
from slicebank_store.upkeep.backup_file import BackupHeader, writing_backup

from ..builders import LEASE_S, series_of, submit
from .stocking import embed, predict, train


def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    database = Database(url)
    with database.read() as connection:
        found = {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in metadata.sorted_tables
        }
    database.close()
    return found


@pytest.fixture
def stocked(catalogue: Catalogue, blobs: DirectoryBlobs, catalogue_url: str) -> str:
    bag, _ = embed(catalogue, blobs, "1.1", retain=True)
    head_id, _ = train(catalogue, blobs)
    predict(catalogue, head_id, bag)
    embed(catalogue, blobs, "1.9")
    catalogue.deletions.delete_series("default", "1.9")  # leaves the note of a blob
    for number in range(60):  # more than are in memory at once
        submit(catalogue, series_of(series_uid=f"2.{number}", patient="ä\u2028'\"\\"))
    catalogue.jobs.claim(submit(catalogue, series_of(series_uid="3")).job_id, worker="w", lease_s=LEASE_S)
    return catalogue_url


def test_a_backup_restores_every_row_and_is_private(stocked: str, tmp_path: Path) -> None:
    target = tmp_path / "backup.gz"
    done = back_up(stocked, target, software="test")
    before = rows_of(stocked)
    assert done.counts == {name: len(rows) for name, rows in before.items()}
    assert done.counts["series"] == 62
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    catalogue = Catalogue.open(stocked)
    submit(catalogue, series_of(series_uid="later"))
    catalogue.close()
    with pytest.raises(CatalogueNotEmpty, match="--replace"):
        restore(stocked, target)
    assert restore(stocked, target, replace=True).counts == done.counts
    assert rows_of(stocked) == before
    catalogue = Catalogue.open(stocked)
    assert catalogue.jobs.get("default", submit(catalogue, series_of(series_uid="3")).job_id) is not None
    catalogue.close()


def test_other_tables_of_the_same_database_survive(catalogue: Catalogue, catalogue_url: str, tmp_path: Path) -> None:
    submit(catalogue)
    back_up(catalogue_url, tmp_path / "backup.gz", software="test")
    database = Database(catalogue_url)
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        connection.execute(text("CREATE TABLE theirs (name VARCHAR(9) PRIMARY KEY)"))
        connection.execute(text("INSERT INTO theirs VALUES ('kept')"))
    for replace in (False, True):
        assert restore(catalogue_url, tmp_path / "backup.gz", replace=replace).counts["jobs"] == 1
        assert len(rows_of(catalogue_url)["jobs"]) == 1
        with database.read() as connection:
            assert connection.execute(text("SELECT name FROM theirs")).scalars().all() == ["kept"]
    with database.write() as connection:
        connection.execute(text("DROP TABLE theirs"))
    database.close()


def test_a_laptops_catalogue_moves_to_postgresql_and_back(
    sqlite_url: str, postgres_url: str, blobs: DirectoryBlobs, tmp_path: Path
) -> None:
    catalogue = Catalogue.open(sqlite_url)
    bag, _ = embed(catalogue, blobs, "1.1", retain=True)
    head_id, _ = train(catalogue, blobs)
    predict(catalogue, head_id, bag)
    catalogue.close()
    before = rows_of(sqlite_url)
    back_up(sqlite_url, tmp_path / "one.gz", software="test")
    restore(postgres_url, tmp_path / "one.gz")
    assert rows_of(postgres_url) == before
    back_up(postgres_url, tmp_path / "two.gz", software="test")
    elsewhere = f"sqlite:///{tmp_path / 'new' / 'catalogue.sqlite'}"
    restore(elsewhere, tmp_path / "two.gz")
    assert rows_of(elsewhere) == before


def test_a_backup_while_others_write_is_of_one_moment(catalogue: Catalogue, catalogue_url: str, tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            submit(catalogue, series_of(series_uid=f"1.{number}"))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            counts = back_up(catalogue_url, tmp_path / "backup.gz", software="test").counts
            # A series, its revision, its job and its manifest are written together.
            assert len({counts[name] for name in ("series", "revisions", "stacks", "jobs", "manifests")}) == 1
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("damage", ["cut", "bit", "end", "text", "gone"])
def test_a_damaged_file_is_refused_before_anything_is_changed(damage: str, sqlite_url: str, tmp_path: Path) -> None:
    catalogue = Catalogue.open(sqlite_url)
    submit(catalogue)
    catalogue.close()
    target = tmp_path / "backup.gz"
    back_up(sqlite_url, target, software="test")
    content = bytearray(target.read_bytes())
    if damage == "cut":
        target.write_bytes(content[:-20])
    elif damage == "bit":
        content[len(content) // 2] ^= 4
        target.write_bytes(content)
    elif damage == "end":
        lines = gzip.decompress(content).splitlines(keepends=True)
        target.write_bytes(gzip.compress(b"".join(lines[:-2] + lines[-1:])))
    elif damage == "text":
        target.write_text("no backup")
    else:
        target.unlink()
    before = rows_of(sqlite_url)
    with pytest.raises(BadBackup):
        restore(sqlite_url, target, replace=True)
    assert rows_of(sqlite_url) == before


def test_a_newer_schema_is_refused_and_an_older_one_is_brought_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    newer = BackupHeader("9999", 1.0, "test", {})
    with writing_backup(tmp_path / "newer.gz", newer):
        pass
    with pytest.raises(SchemaMismatch, match="newer"):
        restore(url, tmp_path / "newer.gz")

    config = migration_config()
    engine = create_engine(f"sqlite:///{tmp_path / 'old.sqlite'}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        old = {}
        for table in metadata.sorted_tables:
            described = connection.exec_driver_sql(f"PRAGMA table_info({table.name})").all()
            if described:
                old[table.name] = tuple(str(column[1]) for column in described)
    engine.dispose()
    values = ["default", "1.2.3", "1.2", "p", "CHEST", 1, 5.0, 6.0]
    with writing_backup(tmp_path / "old.gz", BackupHeader("0001", 1.0, "test", old)) as writer:
        writer.table("series")
        writer.row(values)
    assert restore(url, tmp_path / "old.gz").counts["series"] == 1
    catalogue = Catalogue.open(url)
    assert catalogue.series.get("default", "1.2.3") is not None
    catalogue.close()
    database = Database(url)
    with database.read() as connection:
        assert current_revision(connection) == SCHEMA_REVISION
    database.close()
