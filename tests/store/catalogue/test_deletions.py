from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select

from slicebank_store.catalogue import Beat, Catalogue, NewJob
from slicebank_store.catalogue.tables import metadata
from slicebank_store.types import JobKind, JobState

from ..builders import LEASE_S, PROJECT, RECIPE, bag_of, claim, embed, prediction_of, series_of, submit, train


def predict(catalogue: Catalogue, head_id: str, bag_id: str) -> str:
    bag = catalogue.bags.get(PROJECT, bag_id)
    assert bag is not None
    prediction = prediction_of(head_id, bag)
    job = catalogue.jobs.create(
        NewJob(
            PROJECT,
            JobKind.PREDICT,
            prediction_id=prediction.prediction_id,
            head_id=head_id,
            bag_id=bag_id,
            series_uid=bag.series_uid,
        )
    )
    assert catalogue.jobs.succeed(claim(catalogue, job.job_id), {}, prediction=prediction)
    return prediction.prediction_id


def rows(catalogue: Catalogue) -> dict[str, int]:
    with catalogue._database.read() as connection:
        count = select(func.count())
        return {
            table.name: connection.execute(count.select_from(table)).scalar_one() for table in metadata.sorted_tables
        }


def test_deleting_a_series_removes_what_hangs_on_it_and_nothing_else(catalogue: Catalogue) -> None:
    other = embed(catalogue, series_of(series_uid="9"))
    bag = embed(catalogue, retain=True)
    head_id = train(catalogue, series_uids=("1.2.3", "9"))
    untouched = train(catalogue, "other", series_uids=("9",))
    gone, stays = predict(catalogue, head_id, bag.bag_id), predict(catalogue, head_id, other.bag_id)
    deleted = catalogue.deletions.delete_series(PROJECT, "1.2.3")
    assert deleted.found
    assert set(deleted.blob_keys) == {bag.blob_key, f"default/pixels/{bag.bag_id}.hdf5"}
    assert deleted.job_ids == ()
    assert catalogue.series.get(PROJECT, "1.2.3") is None
    assert catalogue.series.revisions(PROJECT, "1.2.3") == ()
    assert catalogue.bags.get(PROJECT, bag.bag_id) is None
    assert catalogue.predictions.get(PROJECT, gone) is None
    assert catalogue.bags.get(PROJECT, other.bag_id) == other
    assert catalogue.predictions.get(PROJECT, stays) is not None
    for head, marked in ((head_id, True), (untouched, False)):
        found = catalogue.heads.get(PROJECT, head)
        assert found is not None
        assert found.training_data_deleted is marked
    left = rows(catalogue)
    assert (left["series"], left["revisions"], left["stacks"], left["bags"], left["predictions"]) == (1, 1, 1, 1, 1)


def test_a_running_job_cannot_bring_a_deleted_series_back(catalogue: Catalogue) -> None:
    submitted = submit(catalogue, retain=True)
    lease = claim(catalogue, submitted.job_id)
    bag = bag_of(catalogue, lease)
    deleted = catalogue.deletions.delete_series(PROJECT, "1.2.3")
    assert deleted.job_ids == (submitted.job_id,)
    assert deleted.uploads == ("f" * 32,)
    assert catalogue.jobs.heartbeat(lease, lease_s=LEASE_S) is Beat.LOST
    assert not catalogue.jobs.succeed(lease, {}, bag=bag, pixels_key="default/pixels/x.hdf5")
    assert catalogue.series.get(PROJECT, "1.2.3") is None
    assert catalogue.bags.get(PROJECT, bag.bag_id) is None


def test_nor_when_the_series_was_uploaded_again_meanwhile(catalogue: Catalogue) -> None:
    first = submit(catalogue)
    stale = claim(catalogue, first.job_id)
    catalogue.deletions.delete_series(PROJECT, "1.2.3")
    second = submit(catalogue)
    assert second.job_id != first.job_id
    assert second.bag_id == first.bag_id
    fresh = claim(catalogue, second.job_id)
    assert not catalogue.jobs.succeed(stale, {}, bag=replace(bag_of(catalogue, fresh), blob_key="default/stale"))
    assert catalogue.jobs.succeed(fresh, {}, bag=bag_of(catalogue, fresh))
    assert catalogue.bags.get(PROJECT, second.bag_id or "") == bag_of(catalogue, fresh)


def test_queued_and_waiting_jobs_are_cancelled(catalogue: Catalogue) -> None:
    submitted = submit(catalogue)
    waiting = catalogue.jobs.create(
        NewJob(PROJECT, JobKind.PREDICT, prediction_id="c" * 32, series_uid="1.2.3", waits_for=submitted.job_id)
    )
    catalogue.deletions.delete_series(PROJECT, "1.2.3")
    for job_id in (submitted.job_id, waiting.job_id):
        job = catalogue.jobs.get(PROJECT, job_id)
        assert job is not None
        assert job.state.final
    assert catalogue.jobs.list(PROJECT, state=JobState.QUEUED).items == []


def test_nothing_that_tells_of_the_study_is_left_with_its_jobs(catalogue: Catalogue) -> None:
    embed(catalogue)
    job_id = submit(catalogue).job_id
    catalogue.deletions.delete_series(PROJECT, "1.2.3")
    assert set(catalogue.jobs.manifest(job_id)) == {"revision", "stack"}


def test_deleting_twice_and_elsewhere(catalogue: Catalogue) -> None:
    embed(catalogue)
    assert not catalogue.deletions.delete_series("other", "1.2.3").found
    assert catalogue.deletions.delete_series(PROJECT, "1.2.3").found
    assert not catalogue.deletions.delete_series(PROJECT, "1.2.3").found
    assert not catalogue.deletions.delete_bag(PROJECT, "0" * 32).found
    assert not catalogue.deletions.delete_head(PROJECT, "0" * 32).found


def test_a_deleted_bag_can_be_made_again(catalogue: Catalogue) -> None:
    bag = embed(catalogue)
    other = embed(catalogue, recipe=replace(RECIPE, encoder="other"))
    head_id = train(catalogue)
    prediction = predict(catalogue, head_id, bag.bag_id)
    deleted = catalogue.deletions.delete_bag(PROJECT, bag.bag_id)
    assert (deleted.found, deleted.blob_keys) == (True, (bag.blob_key,))
    assert catalogue.predictions.get(PROJECT, prediction) is None
    assert catalogue.bags.get(PROJECT, other.bag_id) == other
    again = submit(catalogue)
    assert (again.bag_id, again.hit, again.created) == (bag.bag_id, False, True)


def test_blobs_to_go_are_noted_with_the_deletion_until_they_are_gone(catalogue: Catalogue) -> None:
    bag = embed(catalogue, retain=True)
    second = embed(catalogue, recipe=replace(RECIPE, encoder="other"))
    head_id = train(catalogue)
    head = catalogue.heads.get(PROJECT, head_id)
    assert head is not None
    assert catalogue.doomed.page() == ()
    for deleted in (
        catalogue.deletions.delete_bag(PROJECT, second.bag_id),
        catalogue.deletions.delete_head(PROJECT, head_id),
        catalogue.deletions.delete_series(PROJECT, "1.2.3"),
    ):
        assert deleted.blob_keys
    pixels = f"default/pixels/{bag.bag_id}.hdf5"
    noted = catalogue.doomed.page(PROJECT)
    assert {key for _, key in noted} == {bag.blob_key, second.blob_key, pixels, head.blob_key}
    assert noted == catalogue.doomed.page()
    assert catalogue.doomed.page("other") == ()
    assert catalogue.doomed.page(after=noted[1], limit=1) == noted[2:3]
    catalogue.doomed.forget(noted[:3])
    catalogue.doomed.forget(noted[:3])
    assert catalogue.doomed.page(PROJECT) == noted[3:]


def test_a_blob_may_be_noted_again(catalogue: Catalogue) -> None:
    for _ in range(2):
        bag = embed(catalogue)
        catalogue.deletions.delete_bag(PROJECT, bag.bag_id)
    assert (PROJECT, bag.blob_key) in catalogue.doomed.page()


def test_deleting_a_bag_cancels_its_job(catalogue: Catalogue) -> None:
    submitted = submit(catalogue)
    assert submitted.bag_id is not None
    assert catalogue.deletions.delete_bag(PROJECT, submitted.bag_id).job_ids == (submitted.job_id,)
    job = catalogue.jobs.get(PROJECT, submitted.job_id)
    assert job is not None
    assert job.state is JobState.CANCELLED
