from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from slicebank_imaging.phantom import PhantomHeader, PhantomSpec, make_phantom, write_dicom
from slicebank_store.catalogue import Catalogue
from tests.service.support import Api, Cohort, FakeWorker, MakeFiles, World, make_bags, make_world, serving


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """structlog's default draws tracebacks with every local variable, which takes seconds."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


@pytest.fixture(scope="session")
def empty_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.sqlite"
    Catalogue.create_or_upgrade(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def world(tmp_path: Path, empty_catalogue: Path) -> Iterator[World]:
    with make_world(tmp_path / "data", empty_catalogue) as made:
        yield made


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    with serving(world.app()) as client:
        yield client


@pytest.fixture(scope="module")
def empty_api(tmp_path_factory: pytest.TempPathFactory, empty_catalogue: Path) -> Iterator[Api]:
    """An API that holds nothing, for tests that change nothing."""
    with make_world(tmp_path_factory.mktemp("empty") / "data", empty_catalogue) as made, serving(made.app()) as client:
        yield client


@pytest.fixture
def worker(world: World) -> FakeWorker:
    return FakeWorker(world)


@pytest.fixture(scope="session")
def make_files(tmp_path_factory: pytest.TempPathFactory) -> MakeFiles:
    """Gives the DICOM files of a small phantom series by name; the same arguments give the same files."""

    def make(
        seed: int = 0, *, n_slices: int = 4, patient_id: str | None = None, sex: str = "O", name: str = ""
    ) -> dict[str, bytes]:
        phantom = make_phantom(PhantomSpec(seed=seed, n_slices=n_slices, size=32))
        header = PhantomHeader(patient_id=patient_id, patient_sex=sex, name=name)
        folder = tmp_path_factory.mktemp("phantom")
        written = write_dicom(phantom, folder, header=header)
        return {path.name: path.read_bytes() for path in written.paths}

    return make


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory, empty_catalogue: Path, make_files: MakeFiles) -> Iterator[Cohort]:
    """Four stored bags, for tests that change nothing."""
    root = tmp_path_factory.mktemp("cohort") / "data"
    with make_world(root, empty_catalogue) as made, serving(made.app()) as client:
        yield Cohort(client, made, make_bags(client, FakeWorker(made), make_files, 4))
