from __future__ import annotations

from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.records import JobRecord
from slicebank_store.types import JobKind, JobState, Priority

from ..builders import PROJECT, RECIPE, bag_of, claim, embed, head_of, prediction_of, series_of, submit, train


def asked(catalogue: Catalogue) -> list[JobRecord]:
    return catalogue.jobs.list(PROJECT, kind=JobKind.PREDICT).items


def test_a_new_bag_is_put_to_the_heads_that_a_project_names(catalogue: Catalogue) -> None:
    first, second = train(catalogue), train(catalogue)
    catalogue.on_embedded.put(PROJECT, ["nodule", second, "nobody"])
    bag = embed(catalogue)
    jobs = asked(catalogue)
    assert {job.head_id for job in jobs} == {first, second}, "a name means its promoted version"
    for job in jobs:
        assert (job.priority, job.state, job.bag_id) == (Priority.BULK, JobState.QUEUED, bag.bag_id)
        assert job.prediction_id == prediction_of(job.head_id or "", bag).prediction_id
    assert catalogue.jobs.claim_next("predict", worker="w", lease_s=1) is not None


def test_other_recipes_and_projects_are_not_asked_about(catalogue: Catalogue) -> None:
    train(catalogue)
    catalogue.on_embedded.put("other", ["nodule"])
    embed(catalogue)
    assert asked(catalogue) == []
    catalogue.on_embedded.put(PROJECT, ["nodule"])
    other = type(RECIPE)("dummy", "0" * 64, RECIPE.windows, 256, RECIPE.resize)
    embed(catalogue, series_of(series_uid="1.2.4"), recipe=other)
    assert asked(catalogue) == []


def test_a_head_under_training_is_not_asked(catalogue: Catalogue) -> None:
    head, _ = catalogue.heads.create(head_of(), params={}, manifest={})
    catalogue.on_embedded.put(PROJECT, ["nodule", head.head_id])
    embed(catalogue)
    assert asked(catalogue) == []


def test_a_failure_never_fails_the_bag(catalogue: Catalogue) -> None:
    train(catalogue)
    catalogue.on_embedded.put(PROJECT, ["nodule"])
    lease = claim(catalogue, submit(catalogue).job_id)
    bag = bag_of(catalogue, lease)
    with catalogue._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE on_embedded RENAME TO elsewhere")
    assert catalogue.jobs.succeed(lease, {}, bag=bag)
    assert catalogue.bags.get(PROJECT, bag.bag_id) is not None
    assert asked(catalogue) == []
    with catalogue._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO on_embedded")


def test_names_are_replaced_and_go_with_the_last_version(catalogue: Catalogue) -> None:
    first, second = train(catalogue), train(catalogue)
    catalogue.on_embedded.put(PROJECT, ["nodule", first])
    catalogue.on_embedded.put(PROJECT, ["nodule", second])
    assert set(catalogue.on_embedded.get(PROJECT)) == {"nodule", second}
    catalogue.deletions.delete_head(PROJECT, second)
    assert catalogue.on_embedded.get(PROJECT) == ("nodule",)
    catalogue.deletions.delete_head(PROJECT, first)
    assert catalogue.on_embedded.get(PROJECT) == ()
