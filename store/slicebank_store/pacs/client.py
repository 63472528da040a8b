"""What every kind of PACS can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from slicebank_store.pacs.basket import SeriesBasket
from slicebank_store.pacs.selecting import SeriesFacts
from slicebank_store.pacs.sources import DicomWebSource, DimseSource

MOST_SERIES = 5000
"""Series of one study that a PACS may list: one that lists them without end must not fill the memory."""

QUERY_KEYS = frozenset(
    {
        "AccessionNumber",
        "ModalitiesInStudy",
        "PatientBirthDate",
        "PatientID",
        "PatientName",
        "PatientSex",
        "ReferringPhysicianName",
        "StudyDate",
        "StudyDescription",
        "StudyID",
        "StudyInstanceUID",
        "StudyTime",
    }
)
"""What a study may be asked for by (PS3.4 tables C.6-5 and 10.6.1-5)."""


class PacsClient(Protocol):
    """One PACS. Used by one thread; to be entered."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def find_studies(self, query: Mapping[str, str], limit: int) -> list[str]:
        """StudyInstanceUIDs that match, at most `limit`.

        Args:
            query: of `QUERY_KEYS`, with wildcards and ranges as DICOM has them.
            limit: how many are wanted.

        Raises:
            PacsError: it cannot tell.
        """
        ...

    def find_series(self, study_uid: str) -> list[SeriesFacts]:
        """What the PACS says of the series of a study; none where it has no such study.

        Raises:
            PacsError: it cannot tell.
        """
        ...

    def first_instance(self, study_uid: str, series_uid: str) -> SeriesFacts:
        """What the header of one instance says of a series, as far as it can be had without the pixels.

        Raises:
            PacsError: it cannot tell.
        """
        ...

    def fetch_series(self, study_uid: str, series_uid: str, into: SeriesBasket) -> None:
        """Writes the instances of a series to files.

        Raises:
            PacsError: they did not all come.
        """
        ...


def open_client(name: str, source: DicomWebSource | DimseSource) -> PacsClient:
    """A client of a PACS; nothing is sent before it is asked.

    Args:
        name: of the source in the settings, for sentences.
        source: the source.
    """
    if isinstance(source, DicomWebSource):
        from slicebank_store.pacs.dicomweb import DicomWebClient

        return DicomWebClient(name, source)
    # pynetdicom takes half a second to load, and most installations have no PACS.
    from slicebank_store.pacs.dimse import DimseClient

    return DimseClient(name, source)
