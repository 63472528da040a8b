"""Instances by C-GET from an SCP of pynetdicom that sends one that is too large."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import uid_to_sop_class

from slicebank_store.errors import PacsRefused
from slicebank_store.pacs.basket import Basket
from slicebank_store.pacs.dimse import DimseClient
from slicebank_store.pacs.sources import DimseSource

_BYTES = 8 << 20


def send(_event: evt.Event) -> Iterator[Any]:
    yield 2
    for number in range(2):
        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
        item.StudyInstanceUID, item.SeriesInstanceUID = "1.2", "1.2.3"
        item.add_new(0x7FE00010, "OW", bytes(_BYTES))
        item.file_meta = FileMetaDataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        yield 0xFF00, item


@pytest.fixture
def port() -> Iterator[int]:
    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(uid_to_sop_class("1.2.840.10008.5.1.4.1.2.2.3"))
    entity.add_supported_context(CTImageStorage, ExplicitVRLittleEndian, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_GET, send)])
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


@pytest.mark.parametrize("limit", [_BYTES // 2, 4 * _BYTES])
def test_an_instance_that_fills_the_memory_is_not_read_to_its_end(tmp_path: Path, port: int, limit: int) -> None:
    source = DimseSource(kind="dimse", host="127.0.0.1", port=port, called_aet="ARCHIVE")
    client = DimseClient("archive", source, max_instance_bytes=limit)
    basket = Basket(tmp_path / "pulled", max_bytes=1 << 30, max_files=10, check=lambda: None)
    into = basket.open("series")
    if limit > _BYTES:
        client.fetch_series("1.2", "1.2.3", into)
        assert into.n_files == 2
    else:
        with pytest.raises(PacsRefused, match="instance of more than"):
            client.fetch_series("1.2", "1.2.3", into)
        assert into.n_files == 0
