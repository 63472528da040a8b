"""Bags of every case under every encoder: what is missing is made and sent, one case at a time."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicebank.benchmark.case import Case, Dataset
from slicebank.benchmark.ledger import Embedded, Ledger
from slicebank.client import Client
from slicebank.errors import ApiError, InputError
from slicebank.records import Encoder, JobState, UploadedSeries

# Uploads whose bags are not made yet: enough to keep a worker busy, few enough that the server's staging stays small.
IN_FLIGHT = 8

OnCase = Callable[[int, int, str], object]


@dataclass(frozen=True, slots=True)
class Bags:
    """What there is.

    Attributes:
        by_encoder: Encoder -> case -> its bags.
        failed: Case -> why it has no bag, in one sentence; under any encoder.
        sent: How many uploads were made.
    """

    by_encoder: Mapping[str, Mapping[str, Embedded]]
    failed: Mapping[str, str]
    sent: int

    def complete(self, cases: Sequence[Case]) -> list[Case]:
        """Cases with bags under every encoder, so that all encoders are compared on the same."""
        return [case for case in cases if all(case.name in found for found in self.by_encoder.values())]


@dataclass(frozen=True, slots=True)
class _Waiting:
    case: Case
    encoder: Encoder
    mark: str
    series: tuple[UploadedSeries, ...]


class Embedder:
    """Embeds the cases of a data set.

    Args:
        client: of the server.
        dataset: whose files are sent.
        encoders: all of them.
        folder: where it is noted what was done.
        key: what cases are known by at the server, where it has them already: series_uid, study_uid or patient.
        scratch: where files are made; one case lies there at a time. A temporary folder of the system by default.
    """

    def __init__(
        self,
        client: Client,
        dataset: Dataset,
        encoders: Sequence[Encoder],
        folder: Path,
        *,
        key: str = "series_uid",
        scratch: Path | None = None,
    ) -> None:
        self._client = client
        self._dataset = dataset
        self._encoders = encoders
        self._key = key
        self._scratch = scratch
        self._ledgers = {encoder.id: Ledger(folder / dataset.name, encoder.id) for encoder in encoders}
        self._waiting: deque[_Waiting] = deque()
        self._found: dict[str, dict[str, Embedded]] = {encoder.id: {} for encoder in encoders}
        self._failed: dict[str, str] = {}
        self._sent = 0

    def run(self, cases: Sequence[Case], on_case: OnCase | None = None) -> Bags:
        """Embeds what is missing.

        Args:
            cases: which.
            on_case: called with cases done, cases in all, and the name of one before it is looked at.

        Raises:
            ApiError, TransportError: the server refused everything, or went away; run it again to go on.
        """
        stored = {
            encoder.id: {bag.bag_id for bag in self._client.bags.list(encoder=encoder.id)} for encoder in self._encoders
        }
        for number, case in enumerate(cases):
            if on_case is not None:
                on_case(number, len(cases), case.name)
            mark = self._dataset.mark(case)
            missing = []
            for encoder in self._encoders:
                noted = self._ledgers[encoder.id].get(case.name)
                told = (mark, encoder.weights_digest)
                if noted and (noted.mark, noted.weights_digest) == told and stored[encoder.id].issuperset(noted.bags):
                    self._found[encoder.id][case.name] = noted
                else:
                    missing.append(encoder)
            if missing:
                self._embed(case, mark, missing)
        while self._waiting:
            self._settle(self._waiting.popleft())
        if on_case is not None:
            on_case(len(cases), len(cases), "")
        return Bags(self._found, self._failed, self._sent)

    def _embed(self, case: Case, mark: str, encoders: Sequence[Encoder]) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="slicebank-case-", dir=self._scratch) as folder:
                path = self._dataset.files_of(case, Path(folder))
                for encoder in encoders:
                    series = self._ask(case, encoder) if path is None else self._send(case, path, encoder)
                    self._sent += path is not None
                    if not series:
                        self._failed[case.name] = "the server has no such series"
                        return
                    self._waiting.append(_Waiting(case, encoder, mark, series))
                    if len(self._waiting) > IN_FLIGHT:
                        self._settle(self._waiting.popleft())
        except (InputError, ApiError) as error:
            # What is wrong with one case is told; what is wrong with the request itself is wrong with all of them.
            if isinstance(error, ApiError) and error.status not in (404, 409, 413, 422):
                raise
            self._failed[case.name] = error.detail

    def _send(self, case: Case, path: Path, encoder: Encoder) -> tuple[UploadedSeries, ...]:
        patient = self._dataset.patient_to_say(case)
        sent = self._client.series.upload(path, encoder=encoder.id, patient=patient, priority="bulk")
        return tuple(item for item in sent.series if item.bag_id is not None)

    def _ask(self, case: Case, encoder: Encoder) -> tuple[UploadedSeries, ...]:
        """Bags that the server has, and else those that it makes of pixels that it kept."""
        found = []
        for series_uid in self._series_of(case):
            bag = next(self._client.bags.list(series_uid=series_uid, encoder=encoder.id, limit=1), None)
            found.append(
                self._client.series.embed(series_uid, encoder=encoder.id)
                if bag is None
                else UploadedSeries(bag.series_uid, bag_id=bag.bag_id, state=JobState.SUCCEEDED)
            )
        return tuple(found)

    def _series_of(self, case: Case) -> list[str]:
        if self._key == "series_uid":
            return [case.uid]
        listed = self._client.series.list
        found = listed(patient=case.uid) if self._key == "patient" else listed(study_uid=case.uid)
        return [series.series_uid for series in found]

    def _settle(self, item: _Waiting) -> None:
        """Waits for the bags of one upload and notes them."""
        made = []
        for series in item.series:
            if not series.state.final and series.job_id is not None:
                (job,) = self._client.jobs.wait_all([series.job_id])
                if job.state is not JobState.SUCCEEDED:
                    self._failed[item.case.name] = (
                        job.error.detail if job.error is not None else f"its job was {job.state}"
                    )
                    continue
            made.append(series)
        if not made:
            return
        embedded = Embedded(
            item.case.name,
            item.mark,
            item.encoder.weights_digest,
            tuple(series.series_uid for series in made),
            tuple(series.bag_id or "" for series in made),
        )
        self._ledgers[item.encoder.id].put(embedded)
        self._found[item.encoder.id][item.case.name] = embedded
