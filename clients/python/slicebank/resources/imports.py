"""`client.imports` and `client.sources`: studies pulled from a PACS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from slicebank.errors import InputError
from slicebank.records import Import, Source, decode, decode_all
from slicebank.transport import Transport

# A PACS may take its time to answer a query.
IMPORT_SECONDS = 120.0

Select = Mapping[str, Any]


class SourcesResource:
    """The PACS that imports may name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Source]:
        """Walk them; where they are is known to the server alone."""
        return iter(decode_all(Source, self._transport.get("/v1/sources").get("items")))


class ImportsResource:
    """Having the server pull studies."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        source: str,
        *,
        study_uids: Sequence[str] | None = None,
        query: Mapping[str, str] | None = None,
        select: Select | None = None,
        limit: int | None = None,
        encoder: str | None = None,
        embed: bool = True,
        retain: bool = False,
        priority: Literal["interactive", "bulk"] | None = None,
        group: str | None = None,
        case: int | None = None,
    ) -> Import:
        """Queue a job for each study; wait for them with `client.jobs.wait_all(made.job_ids)`.

        Args:
            source: name of a PACS, see `client.sources`.
            study_uids: StudyInstanceUIDs, or a query instead.
            query: DICOM keywords and values, such as {"StudyDate": "20240101-20240131"}; run at once and written down nowhere.
            select: which series of each study: modality, min_thickness_mm, max_thickness_mm, kernel, description, min_images, largest_only.
            limit: studies that a query may find.
            encoder: id of the encoder; the server's default otherwise.
            embed: False keeps the pixels and embeds nothing yet.
            retain: keep the pixels.
            priority: "interactive" goes before "bulk", which is the server's default here.
            group: id of the cohort that the studies belong to.
            case: number of the case in it.

        Raises:
            InputError: neither study_uids nor query, or both.
            NotFound: no such source, or no study that the query means.
            ServerFault: the PACS cannot be asked.
        """
        if (study_uids is None) == (query is None):
            raise InputError("An import is of study UIDs or of a query.", hint="Give one of the two.")
        wanted: dict[str, Any] = {
            "source": source,
            "study_uids": None if study_uids is None else list(study_uids),
            "query": None if query is None else dict(query),
            "select": dict(select) if select else None,
            "limit": limit,
            "encoder": encoder,
            "embed": None if embed else False,
            "retain": True if retain else None,
            "priority": priority,
            "group": group,
            "case": case,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        # Whoever lost the answer may have jobs already; asking again would make them twice.
        return decode(Import, self._transport.send("POST", "/v1/imports", body=body, timeout=IMPORT_SECONDS))
