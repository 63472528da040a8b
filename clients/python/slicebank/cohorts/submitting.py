"""Submitting a cohort, several cases at once. What was submitted is remembered, so that the same call goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from slicebank.cohorts.table import Case, cohort_key
from slicebank.errors import (
    ApiError,
    InputError,
    InvalidRequest,
    NotFound,
    NothingUsable,
)
from slicebank.records import CaseOutcome, CaseState, Cohort, Submission, UploadedSeries, decode
from slicebank.resources.imports import ImportsResource, Select
from slicebank.resources.path import url_part
from slicebank.state import Ledger, digest_of
from slicebank.transport import Transport
from slicebank.upload import Sending, intake_query, send_upload
from slicebank.upload.discover import discover
from slicebank.upload.known import lacks_route

OnCase = Callable[[CaseOutcome], object]


@dataclass(frozen=True, slots=True)
class CohortOptions:
    """How a cohort is submitted.

    Attributes:
        encoder: id of the encoder; the server's default otherwise.
        embed: False keeps the pixels and embeds nothing yet.
        retain: keep the pixels.
        source: name of the PACS that has the studies named by UID.
        select: which series of those studies; see `ImportsResource.create`.
        workers: cases under way at once.
        check: do not send what the server knows.
    """

    encoder: str | None = None
    embed: bool = True
    retain: bool = False
    source: str | None = None
    select: Select = field(default_factory=dict)
    workers: int = 4
    check: bool = True


def submit_cohort(
    transport: Transport,
    cases: Sequence[Case],
    options: CohortOptions,
    state_dir: Path,
    *,
    on_case: OnCase | None = None,
) -> Submission:
    """Make the group, or find the one of an earlier run, and submit what is missing of it.

    Raises:
        InputError: study UIDs without a source.
        ApiError, TransportError: the server refused the cohort itself, or went away; run it again to go on.
    """
    if options.source is None and any(case.study_uid is not None for case in cases):
        raise InputError("The table names studies by UID, and no source.", hint="Name the PACS that has them.")
    asked = {"embed": options.embed, "encoder": options.encoder, "retain": options.retain, "source": options.source}
    body = {"key": cohort_key(cases, **asked), "cases": len(cases)}
    cohort = decode(Cohort, transport.send("POST", "/v1/groups", body=body, repeatable=True))
    submitter = _Submitter(transport, options, state_dir, cohort.group_id)
    outcomes: dict[int, CaseOutcome] = {}
    with ThreadPoolExecutor(max_workers=max(1, options.workers), thread_name_prefix="case") as pool:
        waiting: set[Future[CaseOutcome]] = set()
        try:
            waiting = {pool.submit(submitter.submit, number, case) for number, case in enumerate(cases)}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    outcomes[outcome.case] = outcome
                    if on_case is not None:
                        on_case(outcome)
        finally:
            for future in waiting:
                future.cancel()
    return Submission(
        decode(Cohort, transport.get(f"/v1/groups/{url_part(cohort.group_id)}")),
        tuple(outcomes[number] for number in range(len(cases))),
    )


class _Submitter:
    def __init__(self, transport: Transport, options: CohortOptions, state_dir: Path, group_id: str) -> None:
        self._transport = transport
        self._options = options
        self._state_dir = state_dir
        self._group_id = group_id
        self._imports = ImportsResource(transport)
        name = digest_of(transport.connection.url, group_id)
        self._ledger = Ledger(state_dir / "cohorts" / f"{name}.ledger")

    def submit(self, number: int, case: Case) -> CaseOutcome:
        """Submit one case; what is wrong with it is its outcome, what is wrong with the server is raised."""
        try:
            mark = _mark(case)
            if self._ledger.get(str(number)) == mark:
                return CaseOutcome(number, case.name, CaseState.DONE_BEFORE)
            outcome = self._ask(number, case) if case.path is None else self._send(number, case, case.path)
        except NothingUsable as error:
            code, detail = _main_reason(error)
            return CaseOutcome(number, case.name, CaseState.REFUSED, code, detail, n_rejected=len(error.rejected))
        except (InputError, InvalidRequest, NotFound) as error:
            if isinstance(error, ApiError) and error.code in ("unknown_group", "unknown_encoder", "unknown_source"):
                raise
            self._give_up(number, error.code)
            return CaseOutcome(number, case.name, CaseState.FAILED, error.code, error.detail)
        self._ledger.put(str(number), mark)
        return outcome

    def _ask(self, number: int, case: Case) -> CaseOutcome:
        options = self._options
        made = self._imports.create(
            options.source or "",
            study_uids=[case.study_uid or ""],
            select=options.select,
            encoder=options.encoder,
            embed=options.embed,
            retain=options.retain,
            group=self._group_id,
            case=number,
        )
        return CaseOutcome(number, case.name, CaseState.ASKED, job_ids=made.job_ids)

    def _send(self, number: int, case: Case, path: Path) -> CaseOutcome:
        options = self._options
        query = intake_query(
            encoder=options.encoder,
            embed=options.embed,
            retain=options.retain,
            priority="bulk",
            patient=case.patient,
        )
        query |= {"group": self._group_id, "case": number}

        def join(known: Sequence[UploadedSeries]) -> bool:
            return self._join(number, known)

        sent = send_upload(self._transport, [path], query, Sending(self._state_dir, check=options.check, on_known=join))
        return CaseOutcome(
            number,
            case.name,
            CaseState.KNOWN if all(item.known for item in sent.series) else CaseState.SENT,
            n_series=len({item.series_uid for item in sent.series}),
            n_rejected=len(sent.rejected),
            job_ids=sent.job_ids,
        )

    def _give_up(self, number: int, code: str) -> None:
        """Have the cohort know that a case will not come; one that does not take such news goes on waiting for it."""
        try:
            self._transport.send(
                "POST",
                f"/v1/groups/{url_part(self._group_id)}/refusals",
                body={"case": number, "code": code},
                repeatable=True,
            )
        except ApiError as error:
            if not lacks_route(error):
                raise

    def _join(self, number: int, known: Sequence[UploadedSeries]) -> bool:
        """Have the cohort count what the server has already; where it cannot, the case is sent, which counts it too."""
        job_ids = [item.job_id for item in known if item.job_id is not None]
        if not job_ids:
            return False
        try:
            self._transport.send(
                "POST",
                f"/v1/groups/{url_part(self._group_id)}/jobs",
                body={"case": number, "job_ids": job_ids},
                repeatable=True,
            )
        except ApiError as error:
            if lacks_route(error):
                return False
            raise
        return True


def _mark(case: Case) -> str:
    """Names what a case is made of, from the outside: paths, sizes and times of its files."""
    if case.path is None:
        return digest_of("study", case.study_uid or "")
    found = discover([case.path])
    files = [file for folder in found.folders for file in folder.walk()]
    files += [*found.volumes, *found.archives]
    return digest_of(*(f"{file.name} {file.size} {file.modified_ns}" for file in files))


def _main_reason(error: NothingUsable) -> tuple[str, str]:
    """The reason of a case of which nothing was taken: that of its series where one was found, else of its first file."""
    if error.refused_series:
        return error.refused_series[0].code, error.refused_series[0].detail
    if error.rejected:
        return error.rejected[0].code, error.rejected[0].detail
    return error.code, error.detail
