"""A head asked about a cohort: one group, a case a series, study or bag."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slicebank_service.asking import (
    SERIES_RULE,
    Subject,
    question,
    stored_subject,
    study_subject,
    subject_of_bag,
    subject_of_series,
    subject_of_study,
)
from slicebank_service.context import ID_PATTERN, Context
from slicebank_service.errors import ServiceError
from slicebank_store.catalogue import BagRecord, HeadRecord, NewJob
from slicebank_store.catalogue.groups import GroupRecord
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import StoreError
from slicebank_store.types import Priority

# A case costs some milliseconds of the catalogue's time; a longer cohort is several requests.
MOST_CASES = 10_000
# Messages sent at once: a worker that was told of one job takes all that are due.
_DISPATCHED = 100


class AskedCase(BaseModel):
    """One case: exactly one of the three."""

    model_config = ConfigDict(extra="forbid")

    series_uid: str | None = Field(None, pattern=ID_PATTERN)
    study_uid: str | None = Field(None, pattern=ID_PATTERN)
    bag_id: str | None = Field(None, pattern=ID_PATTERN)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.series_uid, self.study_uid, self.bag_id)) != 1:
            raise ValueError("give exactly one of series_uid, study_uid and bag_id")
        return self


def ask_cohort(context: Context, head: HeadRecord, cohort: Sequence[AskedCase]) -> GroupRecord:
    """Makes the jobs of a cohort, or goes on with the group of the same cohort and head.

    Cases that cannot be asked about are noted as refused, with the sentence that one alone would get.
    """
    named = [_named(context, case) for case in cohort]
    key = sha256(json.dumps(["predictions", head.head_id, named]).encode()).hexdigest()
    group = context.catalogue.groups.create(context.project, key=key, cases=len(named))
    stored = _stored(context, head, named)
    wanted: list[tuple[int, NewJob]] = []
    for number, (kind, name) in enumerate(named):
        try:
            subject = stored.get((kind, name)) or _looked_up(context, head, kind, name)
        except (ServiceError, StoreError) as error:
            context.catalogue.groups.refuse(context.project, group.group_id, number, error.code, error.detail)
            continue
        wanted.append((number, question(context.project, head, subject, Priority.BULK)))
    jobs = context.catalogue.predictions.ask_many(context.project, group.group_id, wanted)
    for job in jobs[:_DISPATCHED]:
        dispatch(context.catalogue, context.queue, job.kind, job.job_id, job.priority)
    return group


_Named = tuple[str, str]


def _named(context: Context, case: AskedCase) -> _Named:
    if case.bag_id is not None:
        return "bag", case.bag_id
    if case.series_uid is not None:
        return "series", context.pseudonyms.uid_asked(case.series_uid)
    return "study", context.pseudonyms.uid_asked(case.study_uid or "")


def _stored(context: Context, head: HeadRecord, named: Sequence[_Named]) -> dict[_Named, Subject]:
    """Subjects of series and studies that have bags, found together."""
    current = context.catalogue.bags.current
    series = {name for kind, name in named if kind == "series"}
    studies = {name for kind, name in named if kind == "study"}
    found: dict[_Named, Subject] = {}
    if series:
        for bag in current(context.project, recipe_digest=head.recipe_digest, series_uids=series):
            found["series", bag.series_uid] = stored_subject((bag,), SERIES_RULE)
    if studies:
        members: dict[str, list[BagRecord]] = {}
        for bag in current(context.project, recipe_digest=head.recipe_digest, study_uids=studies):
            members.setdefault(bag.study_uid, []).append(bag)
        for study_uid, bags in members.items():
            found["study", study_uid] = study_subject(head, tuple(bags))
    return found


def _looked_up(context: Context, head: HeadRecord, kind: str, name: str) -> Subject:
    if kind == "bag":
        return subject_of_bag(context, head, name)
    if kind == "series":
        return subject_of_series(context, head, name, priority=Priority.BULK)
    return subject_of_study(context, head, name, priority=Priority.BULK)
