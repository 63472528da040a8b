"""`client.cohorts`: many cases as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from slicebank.cohorts.submitting import CohortOptions, OnCase, submit_cohort
from slicebank.cohorts.table import CohortTable, read_cohort
from slicebank.errors import CohortTimedOut
from slicebank.records import Cohort, Submission, decode
from slicebank.resources.imports import Select
from slicebank.resources.paging import paged
from slicebank.resources.path import url_part
from slicebank.transport import Transport

# One look at a cohort of thousands costs the server some milliseconds.
LOOK_SECONDS = 2.0

OnCohort = Callable[[Cohort], object]


class CohortsResource:
    """Cohorts: submit a table, look at them, wait, cancel and retry."""

    def __init__(self, transport: Transport, state_dir: Path) -> None:
        self._transport = transport
        self._state_dir = state_dir

    def submit(
        self,
        table: CohortTable,
        *,
        encoder: str | None = None,
        embed: bool = True,
        retain: bool = False,
        source: str | None = None,
        select: Select | None = None,
        workers: int = 4,
        check: bool = True,
        on_case: OnCase | None = None,
    ) -> Submission:
        """Submit every case of a table as one group of jobs. The same call again goes on where an earlier one stopped.

        Args:
            table: path of a CSV, or rows; see `read_cohort`. Columns path or study_uid, and perhaps patient; others are left alone.
            encoder: id of the encoder; the server's default otherwise.
            embed: False keeps the pixels and embeds nothing yet.
            retain: keep the pixels.
            source: name of the PACS that has the studies named by UID.
            select: which series of those studies; see `client.imports.create`.
            workers: cases under way at once.
            check: do not send what the server knows.
            on_case: called with the outcome of each case, in the order in which they end.

        Raises:
            BadTable: the table cannot be read.
            ApiError, TransportError: the server refused the cohort itself, or went away.
        """
        options = CohortOptions(encoder, embed, retain, source, dict(select or {}), workers, check)
        return submit_cohort(self._transport, read_cohort(table), options, self._state_dir, on_case=on_case)

    def list(self, *, limit: int | None = None) -> Iterator[Cohort]:
        """Walk the cohorts of the project, newest first."""
        return paged(self._transport, "/v1/groups", Cohort, {}, limit=limit)

    def get(self, group_id: str) -> Cohort:
        """One cohort with its progress and first failures.

        Raises:
            NotFound: no such cohort.
        """
        return decode(Cohort, self._transport.get(f"/v1/groups/{url_part(group_id)}"))

    def wait(
        self, group_id: str, *, missing: int = 0, timeout: float | None = None, on_progress: OnCohort | None = None
    ) -> Cohort:
        """Wait until every case is done.

        Args:
            group_id: the cohort.
            missing: cases that were never sent, and are not waited for.
            timeout: seconds to wait at most; without it, as long as it takes.
            on_progress: called with the cohort after every look.

        Raises:
            CohortTimedOut: the time is over; the cohort goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            cohort = decode(Cohort, self._transport.get(f"/v1/groups/{url_part(group_id)}", known=True))
            if on_progress is not None:
                on_progress(cohort)
            if cohort.finished or cohort.progress.done >= cohort.cases - missing:
                return cohort
            if deadline is not None and time.monotonic() >= deadline:
                raise CohortTimedOut(f"{cohort.progress.done} of {cohort.cases} cases are done.")
            time.sleep(LOOK_SECONDS)

    def cancel(self, group_id: str) -> Cohort:
        """Cancel every job of a cohort that is not final."""
        self._transport.send("POST", f"/v1/groups/{url_part(group_id)}/cancel", repeatable=True)
        return self.get(group_id)

    def retry(self, group_id: str) -> Cohort:
        """Queue every failed or cancelled job of a cohort again whose files are still there."""
        self._transport.send("POST", f"/v1/groups/{url_part(group_id)}/retry", repeatable=True)
        return self.get(group_id)
