"""pynetdicom's sender against a listener with a real catalogue."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_store.types import JobState

from .conftest import CT, Listen

VERIFICATION = "1.2.840.10008.1.1"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
REPORT = "1.2.840.10008.5.1.4.1.1.88.22"


def changed(dataset: Dataset, **values: object) -> Dataset:
    made = copy.deepcopy(dataset)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def test_echo(listen: Listen) -> None:
    association = listen().associate(VERIFICATION)
    assert association.send_c_echo().Status == 0
    association.release()
    assert association.is_released


def test_a_study_becomes_one_waiting_job(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    half = len(slices) // 2
    for part in (slices[:half], slices[half:]):
        assert [answer.Status for answer in listening.store(*part)] == [0] * half
    (job,) = listening.jobs()
    assert job.state is JobState.QUEUED
    assert job.study_uid == slices[0].StudyInstanceUID
    arrived = [pydicom.dcmread(path) for path in listening.arrived()]
    assert [dataset.SOPInstanceUID for dataset in arrived] == [dataset.SOPInstanceUID for dataset in slices]
    assert all(a.PixelData == b.PixelData for a, b in zip(arrived, slices, strict=True))
    assert arrived[0].file_meta.MediaStorageSOPInstanceUID == slices[0].SOPInstanceUID
    listening.listener.stop(grace_s=20)
    assert listening.leftovers() == []
    assert listening.count("instances_total", code="accepted") == len(slices)
    assert listening.count("associations_total", outcome="released") == 2
    assert listening.count("associations_open") == 0


@pytest.mark.parametrize("policy", ["keep", "hash"])
def test_the_study_is_named_as_the_project_names_it(
    listen: Listen, slices: list[Dataset], policy: str, capfd: pytest.CaptureFixture[str]
) -> None:
    listening = listen(uid_policy=policy)
    listening.store(slices[0])
    (job,) = listening.jobs()
    listening.listener.stop(grace_s=20)
    output = "".join(capfd.readouterr())
    assert (job.study_uid == slices[0].StudyInstanceUID) is (policy == "keep")
    assert (slices[0].StudyInstanceUID in output) is (policy == "keep")
    assert slices[0].SOPInstanceUID not in output
    assert slices[0].PatientID not in output


def test_companions_of_a_study_are_left_out_with_a_warning(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    scout = changed(slices[1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    capture = changed(slices[2], SOPClassUID=CAPTURE, ConversionType="SI")
    report = Dataset()
    report.file_meta = copy.deepcopy(slices[0].file_meta)
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = REPORT, "2.25.5", "SR"
    report.StudyInstanceUID, report.SeriesInstanceUID = slices[0].StudyInstanceUID, "2.25.6"
    answers = listening.store(scout, capture, report, slices[0], classes=(CT, CAPTURE, REPORT))
    assert [answer.Status for answer in answers] == [0xB006, 0xB006, 0xB006, 0]
    assert [answer.ErrorComment.split(":")[0] for answer in answers[:3]] == [
        "localizer",
        "not_an_image",
        "not_an_image",
    ]
    assert answers[0].OffendingElement == 0x00080008
    assert len(listening.arrived()) == 1
    assert listening.count("instances_total", code="localizer") == 1


def test_a_bad_instance_is_a_failure_and_harms_no_other(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    broken = changed(slices[1], PixelData=slices[1].PixelData[:100])
    answers = listening.store(broken, slices[0])
    assert answers[0].Status in (0xA900, 0xC000)
    assert answers[1].Status == 0
    assert len(listening.arrived()) == 1


def test_files_without_a_study_are_one_study_an_association(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen()
    nameless = [changed(dataset, StudyInstanceUID="", SeriesInstanceUID="") for dataset in slices[:3]]
    assert [answer.Status for answer in listening.store(*nameless)] == [0, 0, 0]
    listening.store(changed(slices[3], StudyInstanceUID=""))
    assert len(listening.jobs()) == 2


def test_an_instance_that_is_too_large_is_dropped(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen(listen_max_instance_bytes=6000)
    answers = listening.store(slices[0], slices[1])
    assert [answer.Status for answer in answers] == [0xA700, 0xA700]
    assert answers[0].ErrorComment.startswith("body_too_large")
    assert listening.arrived() == listening.leftovers() == []


def test_a_full_disk_is_out_of_resources(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen(min_free_bytes=2**60)
    answers = listening.store(slices[0])
    assert answers[0].Status == 0xA700
    assert answers[0].ErrorComment.startswith("storage_full")


def test_a_full_queue_refuses_studies_but_not_the_rest_of_one(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen(max_queued_jobs=1)
    association = listening.associate()
    assert association.send_c_store(slices[0]).Status == 0
    threading.Event().wait(1.1)  # counts are used again for a second
    refused = association.send_c_store(changed(slices[0], StudyInstanceUID="2.25.99"))
    assert refused.Status == 0xA700
    assert refused.ErrorComment.startswith("queue_full")
    assert association.send_c_store(slices[1]).Status == 0
    association.release()


def test_a_catalogue_that_is_away_is_out_of_resources(listen: Listen, slices: list[Dataset], tmp_path: Path) -> None:
    listening = listen()
    catalogue = tmp_path / "data" / "catalogue.sqlite"
    away = catalogue.with_suffix(".away")
    listening.catalogue.close()
    catalogue.rename(away)
    catalogue.mkdir()
    (refused,) = listening.store(slices[0])
    assert refused.Status == 0xA700
    assert refused.ErrorComment.startswith("catalogue_unavailable")
    catalogue.rmdir()
    away.rename(catalogue)
    threading.Event().wait(1.1)  # what is known of the catalogue is used again for a second
    (taken,) = listening.store(slices[0])
    assert taken.Status == 0
    assert len(listening.arrived()) == 1


def test_four_associations_at_once(listen: Listen, tmp_path: Path) -> None:
    listening = listen()
    studies = []
    for seed in range(4):
        phantom = make_phantom(PhantomSpec(seed=seed, n_slices=10, size=32))
        studies.append([pydicom.dcmread(path) for path in write_dicom(phantom, tmp_path / str(seed)).paths])
    statuses: list[int] = []

    def send(datasets: list[Dataset]) -> None:
        statuses.extend(answer.Status for answer in listening.store(*datasets))

    threads = [threading.Thread(target=send, args=(datasets,)) for datasets in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 40
    assert len(listening.jobs()) == 4
    assert len(listening.arrived()) == 40


def test_an_instance_that_comes_while_the_job_begins_makes_another_job(listen: Listen, slices: list[Dataset]) -> None:
    listening = listen(quiet_seconds=0.01)
    association = listening.associate()
    association.send_c_store(slices[0])
    (job,) = listening.jobs()
    folder = listening.staging / (job.staging or "")
    threading.Event().wait(0.05)
    lease = listening.catalogue.jobs.claim(job.job_id, worker="w", lease_s=60)
    assert lease is not None
    assert listening.catalogue.arriving.close(lease)
    (folder / "arriving").rename(folder / "arrived")
    assert association.send_c_store(slices[1]).Status == 0
    association.release()
    assert len(listening.jobs()) == 2
    assert len(listening.arrived()) == 1
