"""A group as the REST interface shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from slicebank_service.answers.jobs import Progress
from slicebank_service.answers.times import iso
from slicebank_service.context import ID_PATTERN
from slicebank_service.intake.asked import SHA256_PATTERN
from slicebank_store.catalogue.groups import CaseFailure, GroupProgress, GroupRecord

# Longer tables are several cohorts; one of this many cases is told in a tenth of a second.
MOST_CASES = 100_000
# Jobs that join at once: the stacks of one case, of which nobody has so many.
MOST_JOBS = 1000


class GroupAsked(BaseModel):
    """A group to be."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(pattern=SHA256_PATTERN)
    cases: int = Field(ge=1, le=MOST_CASES)


class JobsJoining(BaseModel):
    """Jobs that do what a case of a group asks for, whoever asked for them first."""

    model_config = ConfigDict(extra="forbid")

    case: int = Field(ge=0)
    job_ids: list[str] = Field(min_length=1, max_length=MOST_JOBS)


class CaseGivenUp(BaseModel):
    """That a sender will not send a case.

    Attributes:
        code: why, as one word; a sentence could name a file, which is written nowhere.
    """

    model_config = ConfigDict(extra="forbid")

    case: int = Field(ge=0)
    code: str = Field(pattern=r"^[a-z][a-z_]{0,63}$")


class GroupMade(BaseModel):
    """A group, without its jobs."""

    group_id: str = Field(pattern=ID_PATTERN)
    key: str
    cases: int
    created_at: str


class JobCounts(BaseModel):
    """How many jobs are in each state."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class Failure(BaseModel):
    """Why there is nothing, or not everything, of a case; `job_id` is null where nothing could be taken."""

    case: int
    job_id: str | None
    code: str
    detail: str


class GroupView(GroupMade):
    """A group with its progress and its first failures."""

    progress: Progress
    jobs: JobCounts
    failures: list[Failure]
    state: Literal["running", "finished"]


class GroupPage(BaseModel):
    """One page of groups."""

    items: list[GroupMade]
    next_cursor: str | None


def group_made(group: GroupRecord) -> GroupMade:
    """Shows a group without its jobs."""
    return GroupMade(group_id=group.group_id, key=group.key, cases=group.cases, created_at=iso(group.created_at))


def group_view(group: GroupRecord, progress: GroupProgress, failures: list[CaseFailure]) -> GroupView:
    """Shows a group."""
    return GroupView(
        **group_made(group).model_dump(),
        progress=Progress(done=progress.cases_done, total=group.cases, unit="cases"),
        jobs=JobCounts(**{state.value: count for state, count in progress.jobs.items()}),
        failures=[Failure(case=item.case, job_id=item.job_id, code=item.code, detail=item.detail) for item in failures],
        state="finished" if progress.cases_done >= group.cases else "running",
    )
