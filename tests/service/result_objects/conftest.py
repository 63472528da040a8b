from __future__ import annotations

from dataclasses import dataclass

import pydicom
import pytest

from slicebank_store.catalogue import BagRecord, PredictionRecord
from tests.service.reports.conftest import Shelf, jpeg
from tests.service.reports.written import written_report
from tests.service.support import Api, FakeWorker, MakeFiles, World


@dataclass
class Answered:
    """A prediction about DICOM files, which tests have too."""

    api: Api
    world: World
    head: str
    prediction: PredictionRecord
    bag: BagRecord
    files: list[bytes]

    @property
    def path(self) -> str:
        return f"/v1/predictions/{self.prediction.prediction_id}"

    def header(self, **changed: str) -> pydicom.Dataset:
        """A file of the series, with a patient."""
        return with_patient(self.files[0], **changed)


def with_patient(file: bytes, **changed: str) -> pydicom.Dataset:
    """A file whose header names a patient and a study as a hospital does."""
    read = pydicom.dcmread(pydicom.filebase.DicomBytesIO(file))
    read.SpecificCharacterSet = "ISO_IR 192"
    values = {
        "PatientName": "Müller^Käthe",
        "PatientID": "4711",
        "IssuerOfPatientID": "HOSPITAL",
        "PatientBirthDate": "19510203",
        "PatientSex": "F",
        "AccessionNumber": "A123",
        "StudyID": "S9",
        "StudyDate": "20260102",
        "StudyTime": "030405",
        "ReferringPhysicianName": "Doe^Jane",
    }
    for keyword, value in {**values, **changed}.items():
        setattr(read, keyword, value)
    return read


def as_bytes(dataset: pydicom.Dataset) -> bytes:
    target = pydicom.filebase.DicomBytesIO()
    dataset.save_as(target)
    return bytes(target.getvalue())


def answer(api: Api, world: World, worker: FakeWorker, files: dict[str, bytes]) -> Answered:
    """Uploads files, and has a head asked about them; the slices that it names are those of the bag."""
    upload = api.upload(files)
    bag = worker.embed(upload.json()["series"][0]["job_id"], thumbnail=jpeg(120))
    shelf = Shelf(api, world, worker, [bag])
    head = shelf.head(written_report(["lesion"], kind="binary", n=60))
    prediction = world.catalogue.predictions.get(bag.project, shelf.answer(head, bag))
    assert prediction is not None
    return Answered(api, world, head, prediction, bag, list(files.values()))


@pytest.fixture
def answered(api: Api, world: World, worker: FakeWorker, make_files: MakeFiles) -> Answered:
    """A prediction about six slices of a patient."""
    return answer(api, world, worker, make_files(0, n_slices=6, patient_id="4711"))
