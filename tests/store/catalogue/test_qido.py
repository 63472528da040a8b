from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from benchmarks.catalogue_rows import patient, series_uid, study_uid
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue import qido as module
from slicebank_store.catalogue.incoming import IncomingStack
from slicebank_store.catalogue.qido import Matching
from slicebank_store.catalogue.tables import stacks
from slicebank_store.errors import SearchTooBroad

from ..builders import PROJECT, Clock, series_of, stack_of, submit
from .test_indexes import filled, plans_of, scans

__all__ = ["filled"]

ALL = Matching()


@pytest.fixture(scope="module")
def many(filled: Catalogue) -> Catalogue:
    """2,000 series, whose slices have what searches read."""
    refs = stack_of(range(2)).slices
    with filled._database.write() as connection:
        connection.execute(update(stacks).values(slices=refs))
    return filled


def take_in(
    catalogue: Catalogue, clock: Clock, study: int, number: int, *stacks: IncomingStack, patient: str = "p"
) -> None:
    clock.advance(1)
    uid = f"1.{study}.{number}"
    submit(catalogue, series_of(*stacks, series_uid=uid, study_uid=f"1.{study}", patient=patient), staging=32 * "a")


def multi_frame(numbers: range, *, stack: int = 0, file: int = 0) -> IncomingStack:
    made = stack_of(numbers, stack=stack, folder=f"m{file}")
    for frame, ref in enumerate(made.slices, start=1):
        ref.update(frame_number=frame, sop_instance_uid=f"1.9.{file}")
    return made


@pytest.fixture
def three_studies(catalogue: Catalogue, clock: Clock) -> Catalogue:
    take_in(catalogue, clock, 1, 1, stack_of(range(4)))
    take_in(catalogue, clock, 2, 1, multi_frame(range(5)))
    take_in(catalogue, clock, 1, 2, stack_of(range(10, 12)), stack_of(range(3), stack=1))
    take_in(catalogue, clock, 3, 1, stack_of([7]), patient="q")
    return catalogue


def test_studies(three_studies: Catalogue) -> None:
    found = three_studies.qido.studies(PROJECT, ALL, limit=10)
    assert [(study.study_uid, study.patient) for study in found] == [("1.1", "p"), ("1.2", "p"), ("1.3", "q")]
    assert [[(one.series_uid, one.n_instances) for one in study.series] for study in found] == [
        [("1.1.1", 4), ("1.1.2", 5)],
        [("1.2.1", 1)],
        [("1.3.1", 1)],
    ]


def test_a_study_is_whole_though_one_series_of_it_was_asked_for(three_studies: Catalogue) -> None:
    (found,) = three_studies.qido.studies(PROJECT, Matching(series_uids={"1.1.2"}), limit=10)
    assert (found.study_uid, len(found.series)) == ("1.1", 2)


@pytest.mark.parametrize(
    ("matching", "uids"),
    [
        (ALL, ["1.1.1", "1.2.1", "1.1.2", "1.3.1"]),
        (Matching(study_uids={"1.1"}), ["1.1.1", "1.1.2"]),
        (Matching(study_uids={"1.3", "1.2"}), ["1.2.1", "1.3.1"]),
        (Matching(series_uids={"1.1.2", "9"}), ["1.1.2"]),
        (Matching(patients={"q"}), ["1.3.1"]),
        (Matching(patients={"q"}, study_uids={"1.1"}), []),
        (Matching(body_parts={"CHEST", "HEAD"}), ["1.1.1", "1.2.1", "1.1.2", "1.3.1"]),
        (Matching(body_parts={"HEAD"}), []),
    ],
)
def test_matching(three_studies: Catalogue, matching: Matching, uids: list[str]) -> None:
    assert [found.series_uid for found in three_studies.qido.series(PROJECT, matching, limit=10)] == uids
    assert three_studies.qido.series("other", matching, limit=10) == []


def test_pages_meet(three_studies: Catalogue) -> None:
    ask: list[Callable[..., list[Any]]] = [
        three_studies.qido.studies,
        three_studies.qido.series,
        three_studies.qido.instances,
    ]
    for search in ask:
        whole = search(PROJECT, ALL, limit=1000)
        pages = [search(PROJECT, ALL, limit=2, offset=offset) for offset in range(0, len(whole) + 2, 2)]
        assert [one for page in pages for one in page] == whole
        assert pages[-1] == []


def test_instances(three_studies: Catalogue) -> None:
    found = three_studies.qido.instances(PROJECT, Matching(study_uids={"1.1"}), limit=100)
    assert [one.sop_instance_uid for one in found] == [f"1.2.{n}" for n in (0, 1, 2, 3, 10, 11, 0, 1, 2)]
    assert (found[1].instance_number, found[1].slice_location_mm, found[1].rows) == (2, 2.5, 512)
    (frames,) = three_studies.qido.instances(PROJECT, Matching(study_uids={"1.2"}), limit=100)
    assert (frames.sop_instance_uid, frames.slice_location_mm) == ("1.9.0", None)


def test_instances_by_their_uids(three_studies: Catalogue) -> None:
    found = three_studies.qido.instances(PROJECT, ALL, sop_instance_uids=["1.2.7", "1.2.11", "5"], limit=100)
    assert [(one.series_uid, one.sop_instance_uid) for one in found] == [("1.1.2", "1.2.11"), ("1.3.1", "1.2.7")]


def test_a_file_in_two_stacks_is_one_instance(catalogue: Catalogue, clock: Clock) -> None:
    take_in(catalogue, clock, 1, 1, multi_frame(range(3)), multi_frame(range(5, 8), stack=1))
    assert catalogue.qido.series(PROJECT, ALL, limit=1)[0].n_instances == 1
    assert len(catalogue.qido.instances(PROJECT, ALL, limit=10)) == 1


def test_instances_of_a_volume_without_instance_numbers(catalogue: Catalogue, clock: Clock) -> None:
    volume = multi_frame(range(3))
    for ref in volume.slices:
        ref["instance_number"] = None
    take_in(catalogue, clock, 1, 1, replace(volume, geometry={"slice_thickness_mm": [2.5]}))
    (found,) = catalogue.qido.instances(PROJECT, ALL, limit=10)
    assert (found.instance_number, found.slice_thickness_mm) == (None, 2.5)


def test_only_the_current_revision(catalogue: Catalogue, clock: Clock) -> None:
    take_in(catalogue, clock, 1, 1, stack_of(range(3)))
    take_in(catalogue, clock, 1, 1, stack_of(range(6), content="b"))
    assert [one.n_instances for one in catalogue.qido.series(PROJECT, ALL, limit=10)] == [6]
    assert len(catalogue.qido.instances(PROJECT, ALL, limit=10)) == 6


def test_a_search_reads_no_more_than_some_series(many: Catalogue) -> None:
    reads = module.MOST_SERIES_READ
    assert len(many.qido.instances(PROJECT, ALL, limit=10, offset=2 * reads - 10)) == 10
    take_in(many, Clock(), 1, 1)
    with pytest.raises(SearchTooBroad):
        many.qido.instances(PROJECT, ALL, sop_instance_uids=["none"], limit=1)


SEARCHES: dict[str, Callable[[Catalogue], Any]] = {
    "studies": lambda c: c.qido.studies(PROJECT, ALL, limit=50, offset=200),
    "one study": lambda c: c.qido.studies(PROJECT, Matching(study_uids={study_uid(5)}), limit=50),
    "studies of a patient": lambda c: c.qido.studies(PROJECT, Matching(patients={patient(5)}), limit=50),
    "studies of a body part": lambda c: c.qido.studies(PROJECT, Matching(body_parts={"HEAD"}), limit=50),
    "series": lambda c: c.qido.series(PROJECT, ALL, limit=50, offset=200),
    "series of a study": lambda c: c.qido.series(PROJECT, Matching(study_uids={study_uid(5)}), limit=50),
    "one series": lambda c: c.qido.series(PROJECT, Matching(series_uids={series_uid(5)}), limit=50),
    "some series": lambda c: c.qido.series(PROJECT, Matching(series_uids={series_uid(5), series_uid(6)}), limit=50),
    "series of some studies": lambda c: c.qido.series(
        PROJECT, Matching(study_uids={study_uid(5), study_uid(55)}), limit=50
    ),
    "series of a patient": lambda c: c.qido.series(PROJECT, Matching(patients={patient(5)}), limit=50),
    "series of a body part": lambda c: c.qido.series(PROJECT, Matching(body_parts={"HEAD"}), limit=50),
    "instances of some studies": lambda c: c.qido.instances(
        PROJECT, Matching(study_uids={study_uid(5), study_uid(55)}), limit=50
    ),
    "instances of a study": lambda c: c.qido.instances(PROJECT, Matching(study_uids={study_uid(5)}), limit=50),
}
# Walked in the order of the answer, so that a page reads its own rows and no more.
WALKS = ("studies", "studies of a body part", "series", "series of a body part")


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_walks_an_index(many: Catalogue, name: str) -> None:
    plans = plans_of(many, SEARCHES[name])
    assert not [step for plan in plans for step in scans(plan)], json.dumps(plans, indent=1)
    if name in WALKS:
        assert not [step for step in plans[0] if "Sort" in step or "TEMP B-TREE" in step], plans[0]
    else:
        # Of a few series; on SQLite a search by project alone is a walk through all of them.
        assert not [step for plan in plans for step in plan if "ix_series_page" in step], plans
        assert not [step for plan in plans for step in plan if step.endswith("(project=?)")], plans
