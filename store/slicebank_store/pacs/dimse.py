"""A PACS by DIMSE: C-FIND for what it has, C-GET for the instances, or C-MOVE, which sends them to the listener (PS3.4 annex C)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import uid_to_sop_class

from slicebank_imaging.classification import CT_CLASSES
from slicebank_imaging.syntaxes import SYNTAXES
from slicebank_store.errors import PacsError, PacsRefused, PacsUnavailable
from slicebank_store.pacs.asking import is_uid
from slicebank_store.pacs.basket import SeriesBasket
from slicebank_store.pacs.client import MOST_SERIES
from slicebank_store.pacs.selecting import SeriesFacts
from slicebank_store.pacs.sources import DimseSource

# The Study Root models (PS3.4 annex C.3).
_FIND = uid_to_sop_class("1.2.840.10008.5.1.4.1.2.2.1")
_MOVE = uid_to_sop_class("1.2.840.10008.5.1.4.1.2.2.2")
_GET = uid_to_sop_class("1.2.840.10008.5.1.4.1.2.2.3")
_PENDING = frozenset({0xFF00, 0xFF01})
_SUCCESS = 0x0000
_SOME_FAILED = 0xB000
_OUT_OF_RESOURCES = frozenset({0xA701, 0xA702})
_DESTINATION_UNKNOWN = 0xA801
_CANCELLED = 0xFE00
# PS3.8 table 9-21: too many associations, and the like.
_REJECTED_FOR_NOW = 0x02
MAX_INSTANCE_BYTES = 3 << 29
"""An enhanced CT of 2000 frames has 1.1 GB; one that never ends must not fill the worker's memory."""

_STORED = 0x0000
_NOT_STORED = 0xA700

_MODALITY = 0x00080060
_SERIES_DESCRIPTION = 0x0008103E
_SLICE_THICKNESS = 0x00180050
_CONVOLUTION_KERNEL = 0x00181210
_STUDY_UID = 0x0020000D
_SERIES_UID = 0x0020000E
_N_IMAGES = 0x00201209


class DimseClient:
    """One PACS. Used by one thread; every question is an association of its own."""

    def __init__(self, name: str, source: DimseSource, *, max_instance_bytes: int = MAX_INSTANCE_BYTES) -> None:
        """Asks nothing yet.

        Args:
            name: of the source in the settings, for sentences.
            source: the source.
            max_instance_bytes: of one instance, which the library holds in memory until it is whole.
        """
        self._name = name
        self._max_instance_bytes = max_instance_bytes
        self._source = source

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @property
    def moves(self) -> bool:
        """Whether instances go to the listener and not to whoever asks."""
        return self._source.retrieve == "c-move"

    def find_studies(self, query: Mapping[str, str], limit: int) -> list[str]:
        """StudyInstanceUIDs that match, at most `limit`."""
        asked = _identifier("STUDY", **{"StudyInstanceUID": "", **query})
        found: dict[str, None] = {}
        for item in self._find(asked, limit):
            uid = _text(item, _STUDY_UID) or ""
            if is_uid(uid):
                found[uid] = None
        return list(found)[:limit]

    def find_series(self, study_uid: str) -> list[SeriesFacts]:
        """What the PACS says of the series of a study; none where it has no such study."""
        asked = _identifier(
            "SERIES",
            StudyInstanceUID=study_uid,
            SeriesInstanceUID="",
            Modality="",
            SeriesDescription="",
            NumberOfSeriesRelatedInstances=None,
            # Optional keys; a PACS that knows nothing of them leaves them empty.
            SliceThickness=None,
            ConvolutionKernel="",
        )
        found = [_facts(_text(item, _SERIES_UID) or "", item) for item in self._find(asked, MOST_SERIES + 1)]
        if len(found) > MOST_SERIES:
            raise PacsRefused(f"PACS {self._name} lists more series of one study than can be: {MOST_SERIES} at most.")
        # A PACS may list a series twice, and its files must not be taken twice.
        return list({facts.series_uid: facts for facts in found if is_uid(facts.series_uid)}.values())

    def first_instance(self, study_uid: str, series_uid: str) -> SeriesFacts:
        """What a search at the level of instances says; many PACS leave it empty."""
        asked = _identifier(
            "IMAGE",
            StudyInstanceUID=study_uid,
            SeriesInstanceUID=series_uid,
            SOPInstanceUID="",
            SliceThickness=None,
            ConvolutionKernel="",
            SeriesDescription="",
        )
        for item in self._find(asked, 1):
            return _facts(series_uid, item)
        return SeriesFacts(series_uid)

    def fetch_series(self, study_uid: str, series_uid: str, into: SeriesBasket) -> None:
        """Writes the instances of a series to files, by C-GET."""
        failure: list[Exception] = []
        held = 0

        def watch(event: evt.Event) -> None:
            # On the thread that reads the connection. Bytes of the next instance may be counted with this one's; it is a bound, not a scale.
            nonlocal held
            held += len(event.data)
            if held > self._max_instance_bytes and not failure:
                failure.append(
                    PacsRefused(f"PACS {self._name} sends an instance of more than {self._max_instance_bytes} bytes.")
                )
                if (connection := event.assoc.dul.socket) is not None:
                    connection.close()

        def store(event: evt.Event) -> int:
            nonlocal held
            held = 0
            try:
                # As it came, with file meta information before it: nothing is decoded.
                content = event.encoded_dataset()
                into.new().write_bytes(content)
                into.count(len(content))
            except Exception as error:  # noqa: BLE001 - the library would hide it; told below
                failure.append(error)
                return _NOT_STORED
            return _STORED

        with self._associated(
            [_GET], handlers=[(evt.EVT_C_STORE, store), (evt.EVT_DATA_RECV, watch)], storage=True
        ) as association:
            asked = _identifier("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
            for status, _ in association.send_c_get(asked, _GET):
                if failure:
                    raise failure[0]
                self._check(status, partly=into.n_files > 0)
            if failure:
                raise failure[0]

    def move_series(self, study_uid: str, series_uid: str, check: Callable[[], None]) -> int:
        """Has the PACS send a series to the listener; how many instances it says it sent.

        Args:
            study_uid: the study.
            series_uid: the series.
            check: called between instances; what it raises ends the move.
        """
        sent = 0
        with self._associated([_MOVE]) as association:
            asked = _identifier("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
            destination = self._source.move_destination or ""
            for status, _ in association.send_c_move(asked, destination, _MOVE):
                check()
                sent = int(status.get("NumberOfCompletedSuboperations", sent) or 0) if status else sent
                self._check(status, partly=sent > 0)
        return sent

    def _find(self, asked: Dataset, limit: int | None = None) -> Iterator[Dataset]:
        n_given = 0
        with self._associated([_FIND]) as association:
            for status, item in association.send_c_find(asked, _FIND):
                self._check(status)
                if item is not None:
                    yield item
                    n_given += 1
                    if n_given == limit:
                        return

    def _check(self, status: Dataset, *, partly: bool = False) -> None:
        """Lets a status pass that means that all is well so far.

        Raises:
            PacsUnavailable: the association broke, or the PACS has no room for the answer now.
            PacsRefused: any other failure.
        """
        code = status.get("Status") if status else None
        if code is None:
            raise PacsUnavailable(f"PACS {self._name} broke off, or fell silent for too long.")
        if code in _PENDING or code == _SUCCESS or (code == _SOME_FAILED and partly):
            return
        if code == _DESTINATION_UNKNOWN:
            raise PacsRefused(
                f"PACS {self._name} knows no move destination {self._source.move_destination}: tell it where "
                "`slicebank listen` is."
            )
        kind = PacsUnavailable if code in _OUT_OF_RESOURCES or code == _CANCELLED else PacsRefused
        raise kind(f"PACS {self._name} answers with status {code:04X}.")

    @contextmanager
    def _associated(
        self, models: list[Any], *, handlers: list[Any] | None = None, storage: bool = False
    ) -> Iterator[Association]:
        source = self._source
        entity = AE(ae_title=source.calling_aet)
        entity.acse_timeout = entity.connection_timeout = min(10.0, source.timeout_seconds)
        entity.dimse_timeout = entity.network_timeout = source.timeout_seconds
        for model in models:
            entity.add_requested_context(model)
        roles: list[Any] = []
        if storage:
            for sop_class in sorted(CT_CLASSES):
                # A context for each, so that the PACS can send every instance as it is stored.
                for syntax in SYNTAXES:
                    entity.add_requested_context(sop_class, syntax)
                roles.append(build_role(sop_class, scp_role=True))
        association = entity.associate(
            source.host, source.port, ae_title=source.called_aet, ext_neg=roles, evt_handlers=handlers or []
        )
        if not association.is_established:
            raise self._not_associated(association)
        whole = False
        try:
            accepted = {context.abstract_syntax for context in association.accepted_contexts}
            if any(model not in accepted for model in models):
                raise PacsRefused(f"PACS {self._name} does not offer what is asked for ({models[0].name}).")
            yield association
            whole = True
        finally:
            if association.is_established:
                # An answer that is not read to its end goes on otherwise.
                (association.release if whole else association.abort)()

    def _not_associated(self, association: Association) -> PacsError:
        """Why there is no association."""
        if not association.is_rejected:
            return PacsUnavailable(f"PACS {self._name} does not answer, or closes the connection at once.")
        answer = association.acceptor.primitive
        if answer is not None and answer.result == _REJECTED_FOR_NOW:
            return PacsUnavailable(f"PACS {self._name} accepts no association for now.")
        return PacsRefused(
            f"PACS {self._name} rejects the association: it must know calling AE title {self._source.calling_aet}, "
            f"and its own must be {self._source.called_aet}."
        )


def _identifier(level: str, **keys: Any) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    if any(not str(value).isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword) or 0
        # The library would warn, with the value, of one that breaks a rule; the PACS may judge it.
        identifier.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE))
    return identifier


def _facts(series_uid: str, item: Dataset) -> SeriesFacts:
    count, thickness = _text(item, _N_IMAGES), _text(item, _SLICE_THICKNESS)
    return SeriesFacts(
        series_uid,
        modality=_text(item, _MODALITY),
        description=_text(item, _SERIES_DESCRIPTION),
        kernel=_text(item, _CONVOLUTION_KERNEL),
        thickness_mm=_number(thickness),
        n_images=None if (number := _number(count)) is None else int(number),
    )


def _text(item: Dataset, tag: int) -> str | None:
    """A value as it was sent: the library would warn, with the value, of one that breaks a rule."""
    if tag not in item:
        return None
    value: Any = item.get_item(tag).value
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0") or None


def _number(text: str | None) -> float | None:
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
