from __future__ import annotations

from dataclasses import replace

from slicebank_store.catalogue import Catalogue

from ..builders import PROJECT, RECIPE, embed, request_of, series_of, stack_of, submit

OTHER = replace(RECIPE, encoder="other")


def test_lists_are_filtered(catalogue: Catalogue) -> None:
    first = embed(catalogue, series_of(series_uid="1", patient="a"))
    second = embed(catalogue, series_of(series_uid="2", study_uid="s"))
    third = embed(catalogue, series_of(series_uid="2", study_uid="s"), recipe=OTHER)

    def ids(**filters: str) -> set[str]:
        return {bag.bag_id for bag in catalogue.bags.list(PROJECT, **filters).items}  # type: ignore[arg-type]

    assert ids() == {first.bag_id, second.bag_id, third.bag_id}
    assert ids(series_uid="2") == ids(study_uid="s") == {second.bag_id, third.bag_id}
    assert ids(encoder="other") == ids(recipe_digest=OTHER.digest) == {third.bag_id}
    assert ids(patient="a") == {first.bag_id}
    assert ids(series_uid="2", encoder="dummy") == {second.bag_id}
    assert catalogue.bags.list("other").items == []
    assert catalogue.bags.get("other", first.bag_id) is None


def test_current_is_one_bag_a_series_and_recipe(catalogue: Catalogue) -> None:
    large = embed(catalogue, series_of(stack_of(range(8)), series_uid="1"))
    embed(catalogue, series_of(stack_of(range(4), content="b"), series_uid="1"))
    other = embed(catalogue, series_of(stack_of(range(8)), series_uid="1"), recipe=OTHER)
    second = embed(catalogue, series_of(series_uid="2"))
    assert catalogue.bags.current(PROJECT, encoder="dummy") == (large, second)
    assert {bag.bag_id for bag in catalogue.bags.current(PROJECT)} == {large.bag_id, other.bag_id, second.bag_id}


def test_current_prefers_the_default_stack(catalogue: Catalogue) -> None:
    incoming = series_of(stack_of(range(3), stack=0), stack_of(range(10, 16), stack=1), default_stack=1)
    catalogue.submissions.submit_series(incoming, request_of())
    small = embed(catalogue, incoming, stack=0)
    assert catalogue.bags.current(PROJECT) == (small,), "what there is"
    default = embed(catalogue, incoming)
    assert default.stack == 1
    assert catalogue.bags.current(PROJECT) == (default,)


def test_current_falls_back_to_an_older_revision(catalogue: Catalogue) -> None:
    old = embed(catalogue, series_of(stack_of(range(4))))
    submit(catalogue, series_of(stack_of(range(8))))
    assert catalogue.bags.current(PROJECT, recipe_digest=RECIPE.digest) == (old,)


def test_current_of_a_cohort(catalogue: Catalogue) -> None:
    bags = [embed(catalogue, series_of(series_uid=f"{n}", study_uid=f"s{n}", patient=f"p{n % 2}")) for n in range(4)]
    many = [f"{n}" for n in range(2, 2000)]
    assert catalogue.bags.current(PROJECT, series_uids=many) == tuple(bags[2:])
    assert catalogue.bags.current(PROJECT, study_uids=["s0", "s9"]) == (bags[0],)
    assert catalogue.bags.current(PROJECT, patients=["p1"]) == (bags[1], bags[3])
    assert catalogue.bags.current(PROJECT, patients=["p1"], series_uids=["0", "1"]) == (bags[1],)
    assert catalogue.bags.current(PROJECT, series_uids=[]) == ()
