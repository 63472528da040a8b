"""What a prediction is asked of: from a series, a study or a bag id to the bag, stored or yet to be made."""

from __future__ import annotations

from dataclasses import dataclass

from slicebank_service.cohorts.cases import one_a_study
from slicebank_service.context import Context
from slicebank_service.errors import RecipeMismatch, UnknownBag
from slicebank_store.catalogue import BagRecord, HeadRecord
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownSeries
from slicebank_store.recipe import Recipe
from slicebank_store.types import JobKind, Priority

SERIES_RULE = "the bag of the series' current revision and default stack"
STUDY_RULE = "the series of the study with the most slices"


@dataclass(frozen=True, slots=True)
class Subject:
    """A bag that a head is asked about.

    Attributes:
        waits_for: id of the job that makes the bag; None where it is stored.
        rule: how it was chosen, where the request left that open.
    """

    bag_id: str
    series_uid: str
    waits_for: str | None
    rule: str | None


def subject_of_bag(context: Context, head: HeadRecord, bag_id: str) -> Subject:
    """The subject that a bag id names.

    Raises:
        UnknownBag: no bag, and no job that makes it.
        RecipeMismatch: the bag is of another recipe than the head reads.
    """
    bag = context.catalogue.bags.get(context.project, bag_id)
    if bag is not None:
        _check_recipe(head, bag.recipe_digest, bag.encoder)
        return Subject(bag.bag_id, bag.series_uid, None, None)
    job = context.catalogue.jobs.active_for_bag(context.project, bag_id)
    if job is None or job.series_uid is None:
        raise UnknownBag(f"There is no bag {bag_id[:40]}: see the list of bags, or upload its series.")
    recipe = Recipe.from_dict(job.params["recipe"])
    _check_recipe(head, recipe.digest, recipe.encoder)
    return Subject(bag_id, job.series_uid, job.job_id, None)


def subject_of_series(context: Context, head: HeadRecord, series_uid: str, *, rule: str = SERIES_RULE) -> Subject:
    """The subject that a series names: its standing bag, or one that is made now of its kept pixels.

    Raises:
        UnknownSeries: no such series.
        PixelsNotKept: there is neither bag nor job nor pixels to make one from.
    """
    bags = context.catalogue.bags.current(context.project, recipe_digest=head.recipe_digest, series_uids=[series_uid])
    if bags:
        return _stored(bags[0], rule)
    submitted = context.catalogue.submissions.submit_kept(
        context.project, series_uid, recipe=Recipe.from_dict(head.recipe), level=head.level, dim=head.dim
    )
    if submitted.created:
        dispatch(context.catalogue, context.queue, JobKind.EMBED, submitted.job_id, Priority.INTERACTIVE)
    waits_for = None if submitted.hit else submitted.job_id
    return Subject(submitted.bag_id or "", series_uid, waits_for, rule)


def subject_of_study(context: Context, head: HeadRecord, study_uid: str) -> Subject:
    """The subject that a study names: of its series with a bag the one with the most slices, else the same of all its series.

    Raises:
        UnknownSeries: no series of this study.
        PixelsNotKept: there is neither bag nor job nor pixels to make one from.
    """
    catalogue, project = context.catalogue, context.project
    bags = catalogue.bags.current(project, recipe_digest=head.recipe_digest, study_uids=[study_uid])
    if bags:
        return _stored(one_a_study(bags)[0], STUDY_RULE)
    sizes: list[tuple[int, str]] = []
    listed = [series.series_uid for series in catalogue.series.list(project, study_uid=study_uid, limit=1000).items]
    for series_uid, revision in catalogue.series.current_revisions(project, listed).items():
        default = next(stack for stack in revision.stacks if stack["default"])
        sizes.append((-int(default["n_slices"]), series_uid))
    if not sizes:
        raise UnknownSeries(f"There is no series of study {study_uid[:64]}: upload it first.")
    return subject_of_series(context, head, min(sizes)[1], rule=STUDY_RULE)


def _stored(bag: BagRecord, rule: str) -> Subject:
    return Subject(bag.bag_id, bag.series_uid, None, rule)


def _check_recipe(head: HeadRecord, recipe_digest: str, encoder: str) -> None:
    if recipe_digest != head.recipe_digest:
        raise RecipeMismatch(
            f"the bag was made by {encoder} under another recipe than head {head.name} reads ({head.encoder}); "
            "ask by series_uid, and the right bag is found or made"
        )
