from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from prometheus_client import CollectorRegistry
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from slicebank_imaging.phantom import PhantomHeader, PhantomSpec, make_phantom, write_dicom
from slicebank_service.dicom_network.listener import Listener
from slicebank_service.dicom_network.process import listening
from slicebank_service.dicom_network.settings import ListenerSettings
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.types import JobKind

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass
class Listening:
    """A listener on a free port, its catalogue and its staging."""

    listener: Listener
    catalogue: Catalogue
    staging: Path
    registry: CollectorRegistry

    @property
    def port(self) -> int:
        return self.listener.address[1]

    def associate(
        self, *classes: str, syntaxes: tuple[str, ...] = (EXPLICIT,), called: str = "SLICEBANK", **more: Any
    ) -> Association:
        sender = AE("SENDER")
        for uid in classes or (CT,):
            sender.add_requested_context(uid, list(syntaxes))
        return sender.associate("127.0.0.1", self.port, ae_title=called, **more)

    def store(self, *datasets: Dataset, classes: tuple[str, ...] = (CT,)) -> list[Dataset]:
        """Status of each instance, sent over one association."""
        association = self.associate(*classes)
        assert association.is_established
        answers = [association.send_c_store(dataset) for dataset in datasets]
        association.release()
        return answers

    def jobs(self) -> list[JobRecord]:
        return list(self.catalogue.jobs.list("default", kind=JobKind.IMPORT).items)

    def arrived(self) -> list[Path]:
        """Instances in the folders of their studies, in the order in which they came."""
        return sorted(self.staging.glob("*/arriving/*"), key=lambda path: path.name)

    def leftovers(self) -> list[Path]:
        """Files in staging that belong to no study."""
        return [path for path in self.staging.rglob("*") if path.is_file() and path.parent.name != "arriving"]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"slicebank_listener_{name}", labels) or 0.0


Listen = Callable[..., Listening]


@pytest.fixture
def listen(tmp_path: Path, empty_catalogue: Path) -> Iterator[Listen]:
    """Starts listeners that end with the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Listening:
            data_dir = tmp_path / "data"
            data_dir.mkdir(exist_ok=True)
            shutil.copy(empty_catalogue, data_dir / "catalogue.sqlite")
            given = {"listen_port": 0, "intake_encoder": "hu_statistics", "min_free_bytes": 0, **settings}
            made = ListenerSettings(data_dir=data_dir, **given)
            catalogue = Catalogue.open(made.resolved_catalogue_url)
            stack.callback(catalogue.close)
            registry = CollectorRegistry()
            listener = stack.enter_context(listening(made, catalogue, registry))
            return Listening(listener, catalogue, made.resolved_staging_dir, registry)

        yield start


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """A small phantom series."""
    phantom = make_phantom(PhantomSpec(seed=3, n_slices=8, size=64))
    written = write_dicom(phantom, tmp_path_factory.mktemp("slices"), header=PhantomHeader())
    return [pydicom.dcmread(path) for path in written.paths]
