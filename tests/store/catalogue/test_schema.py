from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.schema import SCHEMA_REVISION, migration_config
from slicebank_store.catalogue.tables import metadata
from slicebank_store.errors import CatalogueError, CatalogueMissing, SchemaMismatch

from ..builders import PROJECT, submit
from ..postgres import Postgres


def schema_of(path: Path) -> dict[str, str]:
    """Every table and index of a SQLite file, by name, without the order in which a table's parts are written."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    found = {}
    for name, sql in rows:
        # Columns that a later migration added stand behind the constraints, on one line.
        parts = re.split(r",(?=\s*\n| \w+ [A-Z])", re.sub(r"[ \t]+", " ", sql.strip().rstrip(")")))
        found[name] = "\n".join(sorted(part.strip() for part in parts))
    return found


def test_migrations_give_exactly_the_metadata(empty_catalogue: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'straight.sqlite'}")
    metadata.create_all(engine)
    engine.dispose()
    migrated = schema_of(empty_catalogue)
    migrated.pop("alembic_version")
    assert migrated == schema_of(tmp_path / "straight.sqlite")


def test_alembic_finds_nothing_to_migrate(catalogue_url: str) -> None:
    engine = create_engine(catalogue_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_constant_names_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(migration_config()).get_current_head() == SCHEMA_REVISION


def test_project_is_in_every_table_and_leads_its_key() -> None:
    for table in metadata.sorted_tables:
        assert next(iter(table.primary_key.columns)).name == "project", table.name


def test_rows_of_the_first_schema_survive_the_way_up_and_down(postgres: Postgres, tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'c.sqlite'}", postgres.database()):
        catalogue = Catalogue.create_or_upgrade(url)
        job_id = submit(catalogue).job_id
        database = Database(url)
        config = migration_config()
        for step in (command.downgrade, command.upgrade):
            with database.write() as connection:
                config.attributes["connection"] = connection
                step(config, {command.downgrade: "0001", command.upgrade: "head"}[step])
        found = catalogue.jobs.get(PROJECT, job_id)
        assert found is not None
        assert (found.series_uid, found.size) == ("1.2.3", None)
        with database.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        catalogue.close()
        database.close()


def test_upgrading_twice_changes_nothing(catalogue_url: str) -> None:
    Catalogue.create_or_upgrade(catalogue_url).close()
    Catalogue.create_or_upgrade(catalogue_url).close()


def test_a_missing_catalogue_is_not_made_in_passing(tmp_path: Path) -> None:
    with pytest.raises(CatalogueMissing, match="slicebank admin migrate"):
        Catalogue.open(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(CatalogueMissing, match="slicebank admin migrate"):
        Catalogue.open(f"sqlite:///{tmp_path / 'empty.sqlite'}")


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_another_schema_is_refused_with_the_command_to_run(sqlite_url: str, revision: str) -> None:
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
    with pytest.raises(SchemaMismatch, match="slicebank admin migrate"):
        Catalogue.open(sqlite_url)
    if revision > SCHEMA_REVISION:
        with pytest.raises(SchemaMismatch, match="newer"):
            Catalogue.create_or_upgrade(sqlite_url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense"])
def test_unusable_addresses_are_refused(url: str) -> None:
    with pytest.raises(CatalogueError):
        Catalogue.open(url)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_processes_make_a_catalogue_together(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    if database == "sqlite":
        url = f"sqlite:///{tmp_path / 'new' / 'catalogue.sqlite'}"
    else:
        url = request.getfixturevalue("postgres").database()
        with pytest.raises(CatalogueMissing, match="slicebank admin migrate"):
            Catalogue.open(url)
    code = (
        "import sys; from slicebank_store.catalogue import Catalogue; Catalogue.create_or_upgrade(sys.argv[1]).close()"
    )
    makers = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [maker.wait(60) for maker in makers] == [0, 0, 0]
    catalogue = Catalogue.open(url)
    catalogue.ping()
    catalogue.close()


def test_the_file_is_in_wal_mode(empty_catalogue: Path) -> None:
    connection = sqlite3.connect(empty_catalogue)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
