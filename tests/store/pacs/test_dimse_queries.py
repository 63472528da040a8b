"""Queries by C-FIND against an SCP of pynetdicom: every key may be asked for, and no value reaches a warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import uid_to_sop_class

from slicebank_store.errors import PacsRefused
from slicebank_store.pacs.client import MOST_SERIES, QUERY_KEYS
from slicebank_store.pacs.dimse import DimseClient
from slicebank_store.pacs.sources import DimseSource

ODD = {
    "StudyDate": "PLANTED^NAME",
    "StudyTime": "PLANTED",
    "PatientSex": "PLANTED" * 10,
    "PatientName": "Planted^Jürgen" * 20,
    "ModalitiesInStudy": "PLANTED" * 5,
}


class Archive:
    """Answers every query with `n_found` studies or series."""

    def __init__(self) -> None:
        self.n_found = 1
        self.n_series = MOST_SERIES * 2
        self.asked: list[Dataset] = []

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        self.asked.append(event.identifier)
        for number in range(self.n_found):
            if event.is_cancelled:
                return
            item = Dataset()
            item.StudyInstanceUID, item.SeriesInstanceUID = f"1.2.{number}", f"1.3.{number % self.n_series}"
            yield 0xFF00, item


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def client(archive: Archive) -> Iterator[DimseClient]:
    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(uid_to_sop_class("1.2.840.10008.5.1.4.1.2.2.1"))
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, archive.find)])
    port = server.socket.getsockname()[1]
    try:
        yield DimseClient("archive", DimseSource(kind="dimse", host="127.0.0.1", port=port, called_aet="ARCHIVE"))
    finally:
        server.shutdown()


@pytest.mark.parametrize("key", sorted(QUERY_KEYS))
def test_every_key_may_be_asked_for(client: DimseClient, archive: Archive, key: str) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert client.find_studies({key: ODD.get(key, "1.2.0")}, 10) == ["1.2.0"]
    assert not [warning for warning in said if "planted" in str(warning.message).lower()]
    assert key in archive.asked[0]


def test_a_list_of_series_without_end_is_refused(client: DimseClient, archive: Archive) -> None:
    archive.n_found = MOST_SERIES + 50
    with pytest.raises(PacsRefused, match="more series"):
        client.find_series("1.2.0")


def test_a_series_listed_twice_is_one(client: DimseClient, archive: Archive) -> None:
    archive.n_found, archive.n_series = 6, 2
    assert [facts.series_uid for facts in client.find_series("1.2.0")] == ["1.3.0", "1.3.1"]
