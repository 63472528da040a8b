from __future__ import annotations

import pytest

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.errors import BadKey, NotPromotable, UnknownHead
from slicebank_store.types import HeadState, JobKind

from ..builders import PROJECT, Clock, claim, embed, head_of, outcome_of, prediction_of, train


def test_versions_count_up_within_a_name(catalogue: Catalogue) -> None:
    first, job = catalogue.heads.create(head_of(), params={"p": 1}, manifest={"cases": [1]})
    second, _ = catalogue.heads.create(head_of(), params={}, manifest={})
    other, _ = catalogue.heads.create(head_of("other"), params={}, manifest={})
    assert [head.version for head in (first, second, other)] == [1, 2, 1]
    assert (first.state, first.promoted, first.metrics, first.blob_key) == (HeadState.TRAINING, False, None, None)
    assert (job.kind, job.head_id, job.params, first.job_id) == (JobKind.TRAIN, first.head_id, {"p": 1}, job.job_id)
    assert catalogue.jobs.manifest(job.job_id) == {"cases": [1]}
    assert [head.version for head in catalogue.heads.versions(PROJECT, "nodule")] == [2, 1]


def test_the_first_version_that_succeeds_is_promoted(catalogue: Catalogue) -> None:
    one, job_one = catalogue.heads.create(head_of(), params={}, manifest={})
    two, job_two = catalogue.heads.create(head_of(), params={}, manifest={})
    newest = catalogue.heads.resolve(PROJECT, "nodule")
    assert newest is not None
    assert (newest.head_id, newest.state) == (two.head_id, HeadState.TRAINING)
    for head, job in ((two, job_two), (one, job_one)):
        lease = claim(catalogue, job.job_id)
        assert catalogue.jobs.succeed(lease, {"head_id": head.head_id}, head=outcome_of(head.head_id))
        promoted = catalogue.heads.resolve(PROJECT, "nodule")
        assert promoted is not None
        assert promoted.head_id == two.head_id
    ready = catalogue.heads.get(PROJECT, one.head_id)
    assert ready is not None
    assert (ready.state, ready.metrics, ready.promoted) == (HeadState.READY, {"mean": {"auroc": 0.9}}, False)
    assert catalogue.heads.report(PROJECT, one.head_id) == {"folds": [1, 2]}
    by_id = catalogue.heads.resolve(PROJECT, one.head_id)
    assert by_id == ready


def test_promoting(catalogue: Catalogue) -> None:
    first, second = train(catalogue), train(catalogue)
    assert catalogue.heads.promote(PROJECT, second).promoted
    assert catalogue.heads.promote(PROJECT, second).promoted
    assert [head.promoted for head in catalogue.heads.versions(PROJECT, "nodule")] == [True, False]
    resolved = catalogue.heads.resolve(PROJECT, "nodule")
    assert resolved is not None
    assert resolved.head_id == second != first
    training, _ = catalogue.heads.create(head_of(), params={}, manifest={})
    with pytest.raises(NotPromotable):
        catalogue.heads.promote(PROJECT, training.head_id)
    with pytest.raises(UnknownHead):
        catalogue.heads.promote(PROJECT, "0" * 32)
    with pytest.raises(UnknownHead):
        catalogue.heads.promote("other", second)


def test_a_name_never_loses_its_meaning_while_a_version_is_ready(catalogue: Catalogue) -> None:
    first, second, third = train(catalogue), train(catalogue), train(catalogue)
    failed, job = catalogue.heads.create(head_of(), params={}, manifest={})
    catalogue.jobs.request_cancel(PROJECT, job.job_id)
    for gone, heir in ((first, third), (third, second)):
        deleted = catalogue.deletions.delete_head(PROJECT, gone)
        assert deleted.blob_keys == (f"default/heads/{gone}-1.safetensors",)
        resolved = catalogue.heads.resolve(PROJECT, "nodule")
        assert resolved is not None
        assert (resolved.head_id, resolved.promoted) == (heir, True)
    catalogue.deletions.delete_head(PROJECT, second)
    left = catalogue.heads.resolve(PROJECT, "nodule")
    assert left is not None
    assert (left.head_id, left.promoted) == (failed.head_id, False)
    catalogue.deletions.delete_head(PROJECT, failed.head_id)
    assert catalogue.heads.resolve(PROJECT, "nodule") is None


def test_deleting_a_head_takes_its_predictions_and_job(catalogue: Catalogue) -> None:
    bag = embed(catalogue)
    head_id = train(catalogue)
    prediction = prediction_of(head_id, bag)
    job = catalogue.jobs.create(NewJob(PROJECT, JobKind.PREDICT, prediction_id=prediction.prediction_id))
    catalogue.jobs.succeed(claim(catalogue, job.job_id), {}, prediction=prediction)
    training, running = catalogue.heads.create(head_of(), params={}, manifest={})
    lease = claim(catalogue, running.job_id)
    catalogue.deletions.delete_head(PROJECT, head_id)
    assert catalogue.predictions.get(PROJECT, prediction.prediction_id) is None
    assert catalogue.bags.get(PROJECT, bag.bag_id) == bag
    assert catalogue.deletions.delete_head(PROJECT, training.head_id).job_ids == (running.job_id,)
    assert not catalogue.jobs.succeed(lease, {}, head=outcome_of(training.head_id))
    assert catalogue.heads.get(PROJECT, training.head_id) is None


def test_lists_are_filtered(catalogue: Catalogue, clock: Clock) -> None:
    first = train(catalogue)
    clock.advance(1)
    second, _ = catalogue.heads.create(head_of("other"), params={}, manifest={})

    def ids(**filters: object) -> list[str]:
        return [head.head_id for head in catalogue.heads.list(PROJECT, **filters).items]  # type: ignore[arg-type]

    assert ids() == [second.head_id, first]
    assert ids(name="nodule") == ids(promoted=True) == ids(state=HeadState.READY) == [first]
    assert ids(promoted=False) == [second.head_id]
    assert ids(encoder="none") == []
    assert catalogue.heads.list("other").items == []


@pytest.mark.parametrize("name", ["", "a/b", "0" * 32, "-x"])
def test_unusable_names(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(BadKey):
        catalogue.heads.create(head_of(name), params={}, manifest={})


def test_many_series(catalogue: Catalogue) -> None:
    uids = tuple(f"1.{number}" for number in range(3000))
    head, _ = catalogue.heads.create(head_of(series_uids=uids), params={}, manifest={})
    assert head.n_cases == 3000
