"""A PACS by DICOMweb: QIDO-RS for what it has, WADO-RS for the instances, written to files as they come (PS3.18 sections 10.4 and 10.6)."""

from __future__ import annotations

import math
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx

from slicebank_store.errors import PacsRefused, PacsUnavailable
from slicebank_store.multipart_related import RELATED, MalformedMultipart, RelatedParts
from slicebank_store.pacs.asking import is_uid
from slicebank_store.pacs.basket import SeriesBasket
from slicebank_store.pacs.client import MOST_SERIES
from slicebank_store.pacs.selecting import SeriesFacts
from slicebank_store.pacs.sources import DicomWebSource

_JSON = "application/dicom+json"
# As they are stored: a transcoded instance is another one, and costs the PACS time.
_INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PAGE = 200
# Python objects of JSON take up to 25 times its bytes; the header of an enhanced CT of 2000 frames takes 8 MB.
_MAX_JSON_BYTES = 16 << 20
# Whole answers in JSON take so many times as long as the PACS may be silent: one that drips would hold a thread for ever.
_JSON_PATIENCE = 4.0
_ABOUT_SERIES = ("00080060", "0008103E", "00180050", "00181210", "00201209")


class DicomWebClient:
    """One PACS. Used by one thread."""

    def __init__(self, name: str, source: DicomWebSource) -> None:
        headers = {key: value.get_secret_value() for key, value in source.headers.items()}
        if source.token is not None:
            headers["Authorization"] = f"Bearer {source.token.get_secret_value()}"
        auth = None
        if source.username is not None:
            password = "" if source.password is None else source.password.get_secret_value()
            auth = httpx.BasicAuth(source.username, password)
        self._name = name
        self._json_s = _JSON_PATIENCE * source.timeout_seconds
        self._client = httpx.Client(
            base_url=source.url.rstrip("/"),
            # Nothing is inflated that the PACS has packed: a few bytes can become gigabytes.
            headers=headers | {"Accept-Encoding": "identity"},
            auth=auth,
            verify=source.verify
            if isinstance(source.verify, bool)
            else ssl.create_default_context(cafile=source.verify.expanduser()),
            timeout=source.timeout_seconds,
            # What the settings name is asked, and nothing that it points to.
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def find_studies(self, query: Mapping[str, str], limit: int) -> list[str]:
        """StudyInstanceUIDs that match, at most `limit`."""
        found: dict[str, None] = {}
        deadline = self._deadline()
        while len(found) < limit:
            asked = {**query, "limit": str(_PAGE), "offset": str(len(found))}
            page = self._json("/studies", asked, deadline)
            uids = [uid for item in page if is_uid(uid := _text(item, "0020000D") or "")]
            known = len(found)
            found |= dict.fromkeys(uids)
            # A PACS that pays no heed to the offset gives the same page for ever.
            if not page or len(found) == known:
                break
        return list(found)[:limit]

    def find_series(self, study_uid: str) -> list[SeriesFacts]:
        """What the PACS says of the series of a study; none where it has no such study."""
        found: dict[str, SeriesFacts] = {}
        deadline = self._deadline()
        while True:
            asked = {"includefield": ",".join(_ABOUT_SERIES), "limit": str(_PAGE), "offset": str(len(found))}
            page = self._json(f"/studies/{study_uid}/series", asked, deadline)
            known = len(found)
            for item in page:
                series_uid = _text(item, "0020000E") or ""
                if is_uid(series_uid):
                    found.setdefault(series_uid, _facts(series_uid, item))
            if len(found) > MOST_SERIES:
                raise PacsRefused(
                    f"PACS {self._name} lists more series of one study than can be: {MOST_SERIES} at most."
                )
            if len(page) < _PAGE or len(found) == known:
                return list(found.values())

    def first_instance(self, study_uid: str, series_uid: str) -> SeriesFacts:
        """What the header of one instance says of a series."""
        series = f"/studies/{study_uid}/series/{series_uid}"
        deadline = self._deadline()
        for item in self._json(f"{series}/instances", {"limit": "1"}, deadline):
            sop_uid = _text(item, "00080018") or ""
            if is_uid(sop_uid):
                for header in self._json(f"{series}/instances/{sop_uid}/metadata", {}, deadline):
                    # A header knows nothing of how many others there are.
                    return _facts(series_uid, {key: value for key, value in header.items() if key != "00201209"})
        return SeriesFacts(series_uid)

    def fetch_series(self, study_uid: str, series_uid: str, into: SeriesBasket) -> None:
        """Writes the instances of a series to files."""
        path = f"/studies/{study_uid}/series/{series_uid}"

        def write(answer: httpx.Response) -> None:
            parts = RelatedParts(answer.headers.get("content-type", ""), place=lambda _number, _media: into.new())
            try:
                for block in self._blocks(answer):
                    into.count(len(block))
                    parts.feed(block)
                parts.finish()
            finally:
                parts.close()

        self._ask(path, {}, _INSTANCES, write)

    def find_study(self, study_uid: str) -> dict[str, Any] | None:
        """What the PACS says of a study and its patient, as DICOM JSON (PS3.18 table 10.6.3-3); None where it has no such study.

        Raises:
            PacsError: it cannot tell.
        """
        asked = {"StudyInstanceUID": study_uid, "includefield": "00100021", "limit": "2"}
        for item in self._json("/studies", asked, self._deadline()):
            if _text(item, "0020000D") == study_uid:
                return item
        return None

    def store(self, objects: Sequence[bytes]) -> dict[str, str | None]:
        """Sends instances by STOW-RS (PS3.18 section 10.5).

        Args:
            objects: DICOM files.

        Returns:
            SOPInstanceUIDs, with the reason (hex) of those that were not taken.

        Raises:
            PacsUnavailable: it may be asked again.
            PacsRefused: it takes none.
        """
        boundary = f"slicebank-{secrets.token_hex(16)}"
        parts = [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + body for body in objects]
        body = b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])
        headers = {"Content-Type": f'{RELATED}; type="application/dicom"; boundary={boundary}', "Accept": _JSON}
        try:
            with self._client.stream("POST", "/studies", content=body, headers=headers) as answer:
                # 202 and 409 name what was taken and what was not.
                if answer.status_code not in (httpx.codes.OK, httpx.codes.ACCEPTED, httpx.codes.CONFLICT):
                    raise self._refusal(answer.status_code)
                found = self._read_json(answer, self._deadline())
        except httpx.TransportError as error:
            msg = f"PACS {self._name} does not take what is sent to it ({type(error).__name__})."
            raise PacsUnavailable(msg) from None
        told = found if isinstance(found, dict) else {}
        taken = {uid: None for item in _items(told, "00081199") if (uid := _text(item, "00081155"))}
        failed = {
            uid: f"{int(_number(item, '00081197') or 0):04X}"
            for item in _items(told, "00081198")
            if (uid := _text(item, "00081155"))
        }
        return {**taken, **failed}

    def _deadline(self) -> float:
        return time.monotonic() + self._json_s

    def _blocks(self, answer: httpx.Response) -> Iterator[bytes]:
        """The bytes of an answer as they come, so that whoever waits for them can look up."""
        if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise PacsRefused(
                f"PACS {self._name} packs its answers without being asked to: have it send them as they are."
            )
        return answer.iter_raw()

    def _json(self, path: str, query: Mapping[str, str], deadline: float) -> list[dict[str, Any]]:
        found: Any = []

        def read(answer: httpx.Response) -> None:
            nonlocal found
            found = self._read_json(answer, deadline)

        self._ask(path, query, _JSON, read)
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def _read_json(self, answer: httpx.Response, deadline: float) -> Any:
        """An answer in JSON, read within bounds of time and memory; an empty one is an empty list."""
        body = bytearray()
        for block in self._blocks(answer):
            body.extend(block)
            if time.monotonic() > deadline:
                raise PacsUnavailable(f"PACS {self._name} takes longer than {self._json_s:g} s to answer.")
            if len(body) > _MAX_JSON_BYTES:
                raise PacsRefused(f"PACS {self._name} answers more than can be read: ask for less at a time.")
        if not body:
            return []
        try:
            return httpx.Response(200, content=bytes(body)).json()
        except (ValueError, RecursionError) as error:
            raise PacsRefused(f"PACS {self._name} does not answer in DICOM JSON: see that its URL is right.") from error

    def _refusal(self, status: int) -> PacsRefused | PacsUnavailable:
        refused = status < httpx.codes.INTERNAL_SERVER_ERROR and status != httpx.codes.TOO_MANY_REQUESTS
        return (PacsRefused if refused else PacsUnavailable)(f"PACS {self._name} answers {status}.")

    def _ask(self, path: str, query: Mapping[str, str], accept: str, read: Callable[[httpx.Response], None]) -> None:
        """Sends a GET and reads the answer; an empty or missing resource is not read.

        Raises:
            PacsUnavailable: it may be asked again.
            PacsRefused: it says no.
        """
        try:
            with self._client.stream("GET", path + _written(query), headers={"Accept": accept}) as answer:
                status = answer.status_code
                if status == httpx.codes.OK:
                    read(answer)
                elif status not in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND):
                    raise self._refusal(status)
        except (httpx.TransportError, MalformedMultipart) as error:
            msg = f"PACS {self._name} does not answer, or not to the end ({type(error).__name__})."
            raise PacsUnavailable(msg) from None


def _written(query: Mapping[str, str]) -> str:
    """A query as part of a URL: wildcards as they are, because Orthanc 1.10 knows none that are percent-encoded."""
    return "?" + urlencode(query, quote_via=quote, safe="*?") if query else ""


def _facts(series_uid: str, item: Mapping[str, Any]) -> SeriesFacts:
    return SeriesFacts(
        series_uid,
        modality=_text(item, "00080060"),
        description=_text(item, "0008103E"),
        kernel=_text(item, "00181210"),
        thickness_mm=_number(item, "00180050"),
        n_images=None if (count := _number(item, "00201209")) is None else int(count),
    )


def _values(item: Mapping[str, Any], tag: str) -> list[Any]:
    element = item.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


def _items(item: Mapping[str, Any], tag: str) -> list[dict[str, Any]]:
    """The items of a sequence."""
    return [value for value in _values(item, tag) if isinstance(value, dict)]


def _text(item: Mapping[str, Any], tag: str) -> str | None:
    found = [value.strip() for value in _values(item, tag) if isinstance(value, str)]
    return "\\".join(found) or None


def _number(item: Mapping[str, Any], tag: str) -> float | None:
    for value in _values(item, tag):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(number):
            return number
    return None
