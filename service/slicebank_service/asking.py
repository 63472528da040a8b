"""What a prediction is asked of: from a series, a study or a bag id to bags, stored or yet to be made."""

from __future__ import annotations

from dataclasses import dataclass

from slicebank_models.heads.protocol import Pooling
from slicebank_service.cohorts.cases import largest_first
from slicebank_service.context import Context
from slicebank_service.errors import RecipeMismatch, UnknownBag
from slicebank_service.recipes import differences
from slicebank_store.catalogue import BagRecord, HeadRecord, NewJob
from slicebank_store.dispatching import dispatch
from slicebank_store.errors import UnknownSeries
from slicebank_store.external import is_external
from slicebank_store.identity import prediction_id
from slicebank_store.recipe import Recipe
from slicebank_store.types import JSON, JobKind, Priority

SERIES_RULE = "the bag of the series' current revision and default stack"
STUDY_RULE = "the series of the study with the most slices"


@dataclass(frozen=True, slots=True)
class Subject:
    """Bags that a head is asked about together.

    Attributes:
        bag_ids: one, or several, that with the most slices first.
        series_uid: of the first bag.
        waits_for: id of the job that makes the bag; None where all are stored.
        rule: how they were chosen, where the request left that open.
    """

    bag_ids: tuple[str, ...]
    series_uid: str
    waits_for: str | None
    rule: str | None

    @property
    def bag_id(self) -> str:
        """The first bag."""
        return self.bag_ids[0]


def question(project: str, head: HeadRecord, subject: Subject, priority: Priority = Priority.INTERACTIVE) -> NewJob:
    """The job that asks a head about a subject."""
    params: JSON = {"head_id": head.head_id, "bag_id": subject.bag_id, "bag_ids": list(subject.bag_ids)}
    if len(subject.bag_ids) > 1:
        params["rule"] = subject.rule
    return NewJob(
        project=project,
        kind=JobKind.PREDICT,
        priority=priority,
        series_uid=subject.series_uid,
        bag_id=subject.bag_id,
        head_id=head.head_id,
        prediction_id=prediction_id(project, head.head_id, *subject.bag_ids),
        waits_for=subject.waits_for,
        params=params,
        announced=priority is Priority.INTERACTIVE,
    )


def subject_of_bag(context: Context, head: HeadRecord, bag_id: str) -> Subject:
    """The subject that a bag id names.

    Raises:
        UnknownBag: no bag, and no job that makes it.
        RecipeMismatch: the bag is of another recipe than the head reads.
    """
    bag = context.catalogue.bags.get(context.project, bag_id)
    if bag is not None:
        _check_recipe(head, Recipe.from_dict(bag.recipe))
        return Subject((bag.bag_id,), bag.series_uid, None, None)
    job = context.catalogue.jobs.active_for_bag(context.project, bag_id)
    if job is None or job.series_uid is None:
        raise UnknownBag(f"There is no bag {bag_id[:40]}: see the list of bags, or upload its series.")
    _check_recipe(head, Recipe.from_dict(job.params["recipe"]))
    return Subject((bag_id,), job.series_uid, job.job_id, None)


def subject_of_series(
    context: Context,
    head: HeadRecord,
    series_uid: str,
    *,
    rule: str = SERIES_RULE,
    priority: Priority = Priority.INTERACTIVE,
) -> Subject:
    """The subject that a series names: its standing bag, or one that is made now of its kept pixels.

    Raises:
        UnknownSeries: no such series.
        UnknownBag: the head reads bags made elsewhere, and the series has none.
        PixelsNotKept: there is neither bag nor job nor pixels to make one from.
    """
    bags = context.catalogue.bags.current(context.project, recipe_digest=head.recipe_digest, series_uids=[series_uid])
    if bags:
        return stored_subject(bags, rule)
    if is_external(head.encoder):
        raise UnknownBag(
            f"Series {series_uid[:64]} has no bag of {head.encoder}, and none can be made here: bring one by POST /v1/bags."
        )
    submitted = context.catalogue.submissions.submit_kept(
        context.project,
        series_uid,
        recipe=Recipe.from_dict(head.recipe),
        level=head.level,
        dim=head.dim,
        priority=priority,
    )
    if submitted.created:
        dispatch(context.catalogue, context.queue, JobKind.EMBED, submitted.job_id, priority)
    waits_for = None if submitted.hit else submitted.job_id
    return Subject((submitted.bag_id or "",), series_uid, waits_for, rule)


def subject_of_study(
    context: Context, head: HeadRecord, study_uid: str, *, priority: Priority = Priority.INTERACTIVE
) -> Subject:
    """The subject that a study names: its series with a bag, by the head's pooling rule; where none has one, its largest series.

    Raises:
        UnknownSeries: no series of this study.
        PixelsNotKept: there is neither bag nor job nor pixels to make one from.
    """
    catalogue, project = context.catalogue, context.project
    bags = catalogue.bags.current(project, recipe_digest=head.recipe_digest, study_uids=[study_uid])
    if bags:
        return study_subject(head, bags)
    sizes: list[tuple[int, str]] = []
    listed = [series.series_uid for series in catalogue.series.list(project, study_uid=study_uid, limit=1000).items]
    for series_uid, revision in catalogue.series.current_revisions(project, listed).items():
        default = next(stack for stack in revision.stacks if stack["default"])
        sizes.append((-int(default["n_slices"]), series_uid))
    if not sizes:
        raise UnknownSeries(f"There is no series of study {study_uid[:64]}: upload it first.")
    return subject_of_series(context, head, min(sizes)[1], rule=STUDY_RULE, priority=priority)


def study_subject(head: HeadRecord, bags: tuple[BagRecord, ...]) -> Subject:
    """Stored bags of one study, by the pooling rule that the head was trained with."""
    pooling = Pooling(head.protocol.get("pooling", Pooling.LARGEST))
    chosen = largest_first(bags)
    if pooling is Pooling.LARGEST:
        return stored_subject(tuple(chosen[:1]), STUDY_RULE)
    if len(chosen) == 1:
        return stored_subject(tuple(chosen), "the only series of the study that has a bag")
    how = (
        f"the mean of the answers about the {len(chosen)} series of the study that have a bag"
        if pooling is Pooling.MEAN
        else f"the rows of the {len(chosen)} series of the study that have a bag, end to end"
    )
    return stored_subject(tuple(chosen), how)


def stored_subject(bags: tuple[BagRecord, ...], rule: str) -> Subject:
    """Stored bags."""
    return Subject(tuple(bag.bag_id for bag in bags), bags[0].series_uid, None, rule)


def _check_recipe(head: HeadRecord, recipe: Recipe) -> None:
    if recipe.digest != head.recipe_digest:
        raise RecipeMismatch(
            f"the bag was made otherwise than head {head.name} reads: {differences(recipe.as_dict(), head.recipe)}; "
            "ask by series_uid, and the right bag is found or made"
        )
