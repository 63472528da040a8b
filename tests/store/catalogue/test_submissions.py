from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.errors import PixelsNotKept, UnknownSeries, UnknownStack
from slicebank_store.identity import bag_id
from slicebank_store.types import BagLevel, JobKind, JobState, Priority

from ..builders import PROJECT, RECIPE, Clock, bag_of, claim, embed, request_of, series_of, stack_of, submit

OTHER = replace(RECIPE, encoder="other")
WHOLE = stack_of(range(6))


def test_a_new_series_gets_a_job_with_everything_a_worker_needs(catalogue: Catalogue, clock: Clock) -> None:
    submitted = submit(catalogue, series_of(WHOLE), priority=Priority.BULK)
    assert submitted.bag_id == bag_id(PROJECT, "1.2.3", WHOLE.content_digest, RECIPE.digest)
    assert (submitted.state, submitted.hit, submitted.created) == (JobState.QUEUED, False, True)
    assert (submitted.revision, submitted.stack, submitted.n_slices) == (1, 0, 6)
    assert submitted.stacks[0]["default"] is True
    assert submitted.stacks[0]["pixels_kept"] is False
    job = catalogue.jobs.get(PROJECT, submitted.job_id)
    assert job is not None
    assert (job.kind, job.priority, job.staging, job.created_at) == (JobKind.EMBED, Priority.BULK, "f" * 32, clock.now)
    assert job.params == {"recipe": RECIPE.as_dict(), "retain": False, "source": "staging", "level": "slice", "dim": 8}
    manifest = catalogue.jobs.manifest(job.job_id)
    assert manifest["slices"] == WHOLE.slices
    assert manifest["content_digest"] == WHOLE.content_digest
    assert (manifest["series_uid"], manifest["study_uid"], manifest["patient"]) == ("1.2.3", "1.2", "p")
    assert (manifest["revision"], manifest["stack"], manifest["field_of_view_mm"]) == (1, 0, 400.0)
    assert catalogue.bags.get(PROJECT, submitted.bag_id) is None
    assert catalogue.jobs.active_for_bag(PROJECT, submitted.bag_id) == job


def test_a_twin_in_flight_is_named(catalogue: Catalogue) -> None:
    first = submit(catalogue)
    again = submit(catalogue, staging="e" * 32)
    assert again.job_id == first.job_id
    assert (again.created, again.hit, again.state) == (False, False, JobState.QUEUED)
    claim(catalogue, first.job_id)
    assert submit(catalogue).state is JobState.RUNNING


def test_the_same_again_is_a_hit_that_names_the_job_that_succeeded(catalogue: Catalogue) -> None:
    bag = embed(catalogue)
    again = submit(catalogue)
    assert (again.bag_id, again.hit, again.created, again.state) == (bag.bag_id, True, False, JobState.SUCCEEDED)
    job = catalogue.jobs.get(PROJECT, again.job_id)
    assert job is not None
    assert job.result == {"bag_id": bag.bag_id, "skipped": []}
    assert len(catalogue.jobs.list(PROJECT).items) == 1


def test_a_part_of_a_known_series_is_a_hit(catalogue: Catalogue) -> None:
    bag = embed(catalogue, series_of(WHOLE))
    part = submit(catalogue, series_of(stack_of([1, 4])))
    assert (part.bag_id, part.hit, part.revision, part.n_slices) == (bag.bag_id, True, 1, 6)


def test_a_part_of_a_series_at_work_names_that_job(catalogue: Catalogue) -> None:
    whole = submit(catalogue, series_of(WHOLE))
    part = submit(catalogue, series_of(stack_of([1, 4])))
    assert (part.job_id, part.created, part.revision) == (whole.job_id, False, 1)


def test_a_part_for_which_nothing_is_there_is_a_revision_of_its_own(catalogue: Catalogue) -> None:
    embed(catalogue, series_of(WHOLE))
    part = submit(catalogue, series_of(stack_of([1, 4])), recipe=OTHER)
    assert (part.revision, part.n_slices, part.created) == (2, 2, True)
    series = catalogue.series.get(PROJECT, "1.2.3")
    assert series is not None
    assert series.current_revision == 1, "the larger one stays current"


def test_the_whole_again_under_another_recipe_is_the_same_revision(catalogue: Catalogue) -> None:
    first = embed(catalogue, series_of(WHOLE))
    other = submit(catalogue, series_of(stack_of(range(6), folder="9")), recipe=OTHER)
    assert (other.revision, other.created) == (1, True)
    assert other.bag_id != first.bag_id
    assert catalogue.jobs.manifest(other.job_id)["slices"][0]["file"] == "9/0", (
        "this upload's files, not the first one's"
    )


def test_more_slices_are_a_new_current_revision_and_the_old_stays(catalogue: Catalogue) -> None:
    old = embed(catalogue, series_of(WHOLE))
    new = submit(catalogue, series_of(stack_of(range(8)), patient="q"))
    assert (new.revision, new.n_slices, new.created) == (2, 8, True)
    assert new.bag_id != old.bag_id
    series = catalogue.series.get(PROJECT, "1.2.3")
    assert series is not None
    assert (series.current_revision, series.patient) == (2, "q")
    assert catalogue.bags.get(PROJECT, old.bag_id) == old
    revisions = catalogue.series.revisions(PROJECT, "1.2.3")
    assert [(one.revision, one.n_slices) for one in revisions] == [(1, 6), (2, 8)]


def test_of_revisions_of_one_size_the_newest_is_current(catalogue: Catalogue) -> None:
    submit(catalogue, series_of(WHOLE))
    changed = submit(catalogue, series_of(stack_of(range(6), content="b")))
    assert changed.revision == 2
    series = catalogue.series.get(PROJECT, "1.2.3")
    assert series is not None
    assert series.current_revision == 2


def test_an_older_revision_uploaded_again_is_a_hit_on_it(catalogue: Catalogue) -> None:
    old = embed(catalogue, series_of(WHOLE))
    embed(catalogue, series_of(stack_of(range(8), content="b")))
    again = submit(catalogue, series_of(WHOLE))
    assert (again.revision, again.bag_id, again.hit) == (1, old.bag_id, True)


def test_the_equal_revision_goes_before_the_current_one(catalogue: Catalogue) -> None:
    small = embed(catalogue, series_of(WHOLE))
    large = embed(catalogue, series_of(stack_of(range(8))))
    assert submit(catalogue, series_of(WHOLE)).bag_id == small.bag_id
    assert submit(catalogue, series_of(stack_of([0, 1]))).bag_id == large.bag_id


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_after_a_job_that_ended_badly_comes_a_new_one(catalogue: Catalogue, ending: str) -> None:
    first = submit(catalogue)
    if ending == "failed":
        catalogue.jobs.fail(claim(catalogue, first.job_id), "decode_failed", "No.", retryable=False)
    else:
        catalogue.jobs.request_cancel(PROJECT, first.job_id)
    again = submit(catalogue)
    assert again.job_id != first.job_id
    assert (again.bag_id, again.revision, again.created) == (first.bag_id, 1, True)


def test_a_bag_whose_job_is_forgotten_gets_a_succeeded_one(catalogue: Catalogue) -> None:
    bag = embed(catalogue)
    with catalogue._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM manifests")
        connection.exec_driver_sql("DELETE FROM jobs")
    hit = submit(catalogue)
    job = catalogue.jobs.get(PROJECT, hit.job_id)
    assert job is not None
    assert (job.state, job.result, hit.hit) == (JobState.SUCCEEDED, {"bag_id": bag.bag_id}, True)
    assert submit(catalogue).job_id == hit.job_id


def test_stacks_are_chosen_by_number_default_or_all(catalogue: Catalogue) -> None:
    axial, other = stack_of(range(5), stack=0), stack_of(range(10, 13), stack=1)
    incoming = series_of(axial, other, default_stack=0)
    assert submit(catalogue, incoming).stack == 0
    second = submit(catalogue, incoming, stack=1)
    assert (second.stack, second.n_slices, second.revision) == (1, 3, 1)
    both = catalogue.submissions.submit_series(incoming, request_of(stack="all"))
    assert [one.stack for one in both] == [0, 1]
    assert both[1].job_id == second.job_id
    assert len({one.bag_id for one in both}) == 2
    with pytest.raises(UnknownStack, match="0, 1"):
        submit(catalogue, incoming, stack=7)


def test_an_unknown_stack_leaves_no_series_behind(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownStack):
        submit(catalogue, stack=7)
    assert catalogue.series.get(PROJECT, "1.2.3") is None


def test_a_part_of_the_second_stack_finds_that_stack(catalogue: Catalogue) -> None:
    incoming = series_of(stack_of(range(5), stack=0), stack_of(range(10, 13), stack=1))
    catalogue.submissions.submit_series(incoming, request_of(stack="all"))
    part = submit(catalogue, series_of(stack_of([11], stack=0)))
    assert (part.stack, part.revision, part.created) == (1, 1, False)


def test_without_a_recipe_the_pixels_are_kept(catalogue: Catalogue) -> None:
    submitted = submit(catalogue, recipe=None)
    assert submitted.bag_id is None
    lease = claim(catalogue, submitted.job_id)
    assert lease.job.kind is JobKind.IMPORT
    assert submit(catalogue, recipe=None).job_id == submitted.job_id, "a twin"
    assert catalogue.jobs.succeed(lease, {"series": "1.2.3"}, pixels_key="default/pixels/a.hdf5")
    again = submit(catalogue, recipe=None)
    assert (again.job_id, again.hit, again.created) == (submitted.job_id, True, False)
    assert again.stacks[0]["pixels_kept"] is True
    assert catalogue.series.current_revisions(PROJECT, ["1.2.3"])["1.2.3"].pixels_kept


def test_kept_pixels_serve_other_recipes(catalogue: Catalogue) -> None:
    embed(catalogue, series_of(WHOLE), retain=True)
    part = submit(catalogue, series_of(stack_of([2])), recipe=OTHER)
    assert (part.revision, part.created) == (1, True)
    job = catalogue.jobs.get(PROJECT, part.job_id)
    assert job is not None
    assert (job.params["source"], job.staging) == ("kept", None)
    assert catalogue.jobs.manifest(part.job_id)["pixels_key"].startswith("default/pixels/")
    assert len(catalogue.jobs.manifest(part.job_id)["slices"]) == 6


def test_retain_after_the_fact_keeps_the_pixels_of_an_embedded_series(catalogue: Catalogue) -> None:
    bag = embed(catalogue)
    later = submit(catalogue, retain=True)
    assert (later.bag_id, later.hit, later.created) == (bag.bag_id, False, True)
    job = catalogue.jobs.get(PROJECT, later.job_id)
    assert job is not None
    assert (job.kind, job.bag_id, job.waits_for) == (JobKind.IMPORT, bag.bag_id, None)
    assert catalogue.jobs.active_for_bag(PROJECT, bag.bag_id) is None
    assert catalogue.jobs.succeed(claim(catalogue, later.job_id), {}, pixels_key="default/pixels/a.hdf5")
    assert submit(catalogue, retain=True).hit


def test_retain_beside_a_twin_in_flight_waits_for_it(catalogue: Catalogue) -> None:
    first = submit(catalogue)
    later = submit(catalogue, retain=True, staging="e" * 32)
    job = catalogue.jobs.get(PROJECT, later.job_id)
    assert job is not None
    assert (job.kind, job.waits_for, later.created) == (JobKind.IMPORT, first.job_id, True)
    assert submit(catalogue, retain=True).job_id == later.job_id


def test_retain_beside_a_twin_that_retains_names_the_twin(catalogue: Catalogue) -> None:
    first = submit(catalogue, retain=True)
    assert submit(catalogue, retain=True).job_id == first.job_id


def test_bags_from_kept_pixels(catalogue: Catalogue) -> None:
    embed(catalogue, retain=True)
    made = catalogue.submissions.submit_kept(PROJECT, "1.2.3", recipe=OTHER, level=BagLevel.SLICE, dim=8)
    assert made.created
    lease = claim(catalogue, made.job_id)
    assert catalogue.jobs.succeed(lease, {}, bag=bag_of(catalogue, lease))
    again = catalogue.submissions.submit_kept(PROJECT, "1.2.3", recipe=OTHER, level=BagLevel.SLICE, dim=8)
    assert (again.hit, again.bag_id, again.job_id) == (True, made.bag_id, made.job_id)


def test_bags_without_kept_pixels(catalogue: Catalogue) -> None:
    bag = embed(catalogue)

    def ask(series_uid: str = "1.2.3", recipe: object = RECIPE, **where: int) -> str | None:
        assert isinstance(recipe, type(RECIPE))
        kept = catalogue.submissions.submit_kept(
            PROJECT, series_uid, recipe=recipe, level=BagLevel.SLICE, dim=8, **where
        )
        return kept.bag_id

    assert ask() == bag.bag_id, "what is there needs no pixels"
    with pytest.raises(PixelsNotKept):
        ask(recipe=OTHER)
    with pytest.raises(UnknownSeries):
        ask("9.9")
    with pytest.raises(UnknownSeries):
        ask(revision=2)
    with pytest.raises(UnknownStack):
        ask(stack=1)


def test_projects_share_nothing(catalogue: Catalogue) -> None:
    mine = submit(catalogue)
    theirs = submit(catalogue, replace(series_of(), project="other"))
    assert theirs.bag_id != mine.bag_id
    assert theirs.job_id != mine.job_id
    assert catalogue.jobs.get(PROJECT, theirs.job_id) is None
    assert catalogue.jobs.get("other", theirs.job_id) is not None
    assert [one.project for one in catalogue.series.list("other").items] == ["other"]


def test_a_job_tells_its_size_and_the_request_that_made_it(catalogue: Catalogue) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        made = catalogue.jobs.get(PROJECT, submit(catalogue).job_id)
    assert made is not None
    assert (made.request_id, made.size) == ("r-1", 4)
    assert catalogue.jobs.get(PROJECT, submit(catalogue).job_id) == made
    other = catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN, request_id="r-2"))
    assert (other.request_id, other.size) == ("r-2", None)
