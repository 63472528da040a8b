"""Cohorts: cases that were submitted together, with one progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from slicebank.records.decode import JSON
from slicebank.records.jobs import Progress


@dataclass(frozen=True, slots=True)
class CohortFailure:
    """A case of which nothing could be taken, or a job of one that failed; cases count from 0."""

    case: int
    job_id: str | None = None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort as the server knows it.

    Attributes:
        key: digest of the table it was submitted from, and of how.
        cases: how many there are.
        progress: cases that were refused, or all of whose jobs are final.
        jobs: how many are in each state.
        failures: the first hundred.
        state: running or finished.
    """

    group_id: str
    key: str = ""
    cases: int = 0
    progress: Progress = field(default_factory=Progress)
    jobs: JSON = field(default_factory=dict)
    failures: tuple[CohortFailure, ...] = ()
    created_at: datetime | None = None
    state: str = ""
    raw: JSON = field(default_factory=dict, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """Whether no case is waited for any more."""
        return self.state == "finished"


class CaseState(StrEnum):
    """What became of a case when its cohort was submitted."""

    SENT = "sent"
    KNOWN = "known"
    DONE_BEFORE = "done_before"
    ASKED = "asked"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What became of one case.

    Attributes:
        case: its row in the table, from 0.
        name: the path or study UID in the table.
        state: sent: taken in; known: the server had it; done_before: an earlier run submitted it; asked: its study is being pulled;
            refused: the server took nothing of it; failed: it could not be sent.
        code: of the refusal or failure.
        detail: a sentence about it.
        n_series: series taken in.
        n_rejected: files that were refused.
        job_ids: jobs of the case.
    """

    case: int
    name: str
    state: CaseState
    code: str = ""
    detail: str = ""
    n_series: int = 0
    n_rejected: int = 0
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """A submitted cohort; iterating gives the outcome of each case, in the order of the table."""

    cohort: Cohort
    outcomes: tuple[CaseOutcome, ...] = ()

    def __iter__(self) -> Iterator[CaseOutcome]:
        return iter(self.outcomes)

    @property
    def counts(self) -> dict[str, int]:
        """Cases by state."""
        return dict(Counter(str(item.state) for item in self.outcomes))
