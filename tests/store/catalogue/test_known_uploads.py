from __future__ import annotations

from dataclasses import replace

from slicebank_store.catalogue import Catalogue, Submitted
from slicebank_store.types import JobState

from ..builders import PROJECT, RECIPE, bag_of, claim, embed, series_of, stack_of, submit

DIGEST, OTHER = "a" * 64, "b" * 64


def sent(catalogue: Catalogue, *numbers: int, digest: str = DIGEST) -> list[Submitted]:
    """Takes an upload of several series in."""
    submitted = [
        submit(catalogue, series_of(stack_of(range(4), content=f"c{n}"), series_uid=f"1.2.{n}")) for n in numbers
    ]
    catalogue.known_uploads.note(PROJECT, digest, submitted)
    return submitted


def finish(catalogue: Catalogue, item: Submitted) -> None:
    lease = claim(catalogue, item.job_id)
    assert catalogue.jobs.succeed(lease, {}, bag=bag_of(catalogue, lease))


def test_an_upload_is_known_while_its_bags_are_made_and_when_they_are(catalogue: Catalogue) -> None:
    first, second = sent(catalogue, 1, 2)
    ask = [DIGEST, OTHER, DIGEST]
    stored = catalogue.known_uploads.stored(PROJECT, ask, RECIPE.digest)
    assert stored.keys() == {DIGEST}
    assert [(item.known.series_uid, item.bag_id, item.job_id, item.state) for item in stored[DIGEST]] == [
        (item.series_uid, item.bag_id, item.job_id, JobState.QUEUED) for item in (first, second)
    ]
    finish(catalogue, first)
    states = [item.state for item in catalogue.known_uploads.stored(PROJECT, ask, RECIPE.digest)[DIGEST]]
    assert states == [JobState.SUCCEEDED, JobState.QUEUED]
    assert catalogue.known_uploads.stored("other", ask, RECIPE.digest) == {}


def test_an_upload_of_which_one_series_lacks_its_bag_is_not_known(catalogue: Catalogue) -> None:
    first, second = sent(catalogue, 1, 2)
    finish(catalogue, first)
    catalogue.jobs.fail(claim(catalogue, second.job_id), "decode_failed", "No.", retryable=False)
    assert catalogue.known_uploads.stored(PROJECT, [DIGEST], RECIPE.digest) == {}
    sent(catalogue, 1, 2)
    assert catalogue.known_uploads.stored(PROJECT, [DIGEST], RECIPE.digest).keys() == {DIGEST}


def test_another_recipe_is_another_question(catalogue: Catalogue) -> None:
    finish(catalogue, *sent(catalogue, 1))
    other = replace(RECIPE, size=256)
    assert catalogue.known_uploads.stored(PROJECT, [DIGEST], other.digest) == {}


def test_kept_pixels_are_known_by_themselves(catalogue: Catalogue) -> None:
    series = series_of(series_uid="1.2.9")
    embed(catalogue, series, retain=True)
    catalogue.known_uploads.note(PROJECT, DIGEST, [submit(catalogue, series)])
    finish(catalogue, *sent(catalogue, 1, digest=OTHER))
    stored = catalogue.known_uploads.stored(PROJECT, [DIGEST, OTHER], None)
    assert stored.keys() == {DIGEST}
    (item,) = stored[DIGEST]
    assert (item.bag_id, item.state, item.known.pixels_kept) == (None, JobState.SUCCEEDED, True)
    assert item.job_id is not None


def test_an_upload_of_which_a_series_was_deleted_is_forgotten(catalogue: Catalogue) -> None:
    items = sent(catalogue, 1, 2)
    catalogue.deletions.delete_series(PROJECT, "1.2.1")
    assert catalogue.known_uploads.find(PROJECT, [DIGEST]) == {}
    catalogue.known_uploads.note(PROJECT, OTHER, items)
    assert catalogue.known_uploads.find(PROJECT, [OTHER]) == {}, "deleted while it was taken in"


def test_the_newest_word_counts(catalogue: Catalogue) -> None:
    sent(catalogue, 1, 2)
    sent(catalogue, 3)
    assert [item.series_uid for item in catalogue.known_uploads.find(PROJECT, [DIGEST])[DIGEST]] == ["1.2.3"]


def test_an_upload_may_bring_thousands_of_series(catalogue: Catalogue) -> None:
    (item,) = sent(catalogue, 1, digest=OTHER)
    many = [item, *(replace(item, series_uid=f"1.3.{number}") for number in range(2500))]
    catalogue.known_uploads.note(PROJECT, DIGEST, many)
    assert catalogue.known_uploads.find(PROJECT, [DIGEST]) == {}, "not all of them are there"
