from __future__ import annotations

from slicebank_store.catalogue import Catalogue

from ..builders import PROJECT, Clock, request_of, series_of, stack_of, submit


def test_records(catalogue: Catalogue, clock: Clock) -> None:
    axial, other = stack_of(range(5), stack=0), stack_of(range(10, 13), stack=1, axial=False)
    catalogue.submissions.submit_series(series_of(axial, other), request_of(), clock.now + 7)
    series = catalogue.series.get(PROJECT, "1.2.3")
    assert series is not None
    assert (series.study_uid, series.patient, series.body_part, series.created_at) == (
        "1.2",
        "p",
        "CHEST",
        clock.now + 7,
    )
    revision = catalogue.series.current_revisions(PROJECT, ["1.2.3"])["1.2.3"]
    assert (revision.revision, revision.n_slices, revision.default_stack, revision.pixels_kept) == (1, 8, 0, False)
    assert [(one["stack"], one["n_slices"], one["default"], one["axial"]) for one in revision.stacks] == [
        (0, 5, True, True),
        (1, 3, False, False),
    ]
    assert revision.stacks[0]["geometry"] == axial.geometry
    assert "slices" not in revision.stacks[0]
    assert revision.options == {"assume_rescale": None, "force_not_hu": False}
    assert catalogue.series.revisions(PROJECT, "1.2.3") == (revision,)
    assert catalogue.series.revisions("other", "1.2.3") == ()
    assert catalogue.series.current_revisions("other", ["1.2.3"]) == {}


def test_current_revisions_of_many_series_at_once(catalogue: Catalogue) -> None:
    for uid, size in (("1", 4), ("2", 3), ("2", 6), ("3", 6), ("3", 5)):
        submit(catalogue, series_of(stack_of(range(size), content=f"{uid}/{size}"), series_uid=uid))
    found = catalogue.series.current_revisions(PROJECT, [*(f"{number}" for number in range(2, 1500)), "2"])
    assert {uid: (one.revision, one.n_slices) for uid, one in found.items()} == {"2": (2, 6), "3": (1, 6)}
    assert found["2"] == catalogue.series.revisions(PROJECT, "2")[1]
    assert catalogue.series.current_revisions(PROJECT, []) == {}


def test_lists_are_filtered(catalogue: Catalogue, clock: Clock) -> None:
    for number in range(3):
        clock.advance(1)
        submit(catalogue, series_of(series_uid=f"{number}", study_uid=f"s{number % 2}", patient=f"p{number}"))

    def uids(**filters: str) -> list[str]:
        return [one.series_uid for one in catalogue.series.list(PROJECT, **filters).items]  # type: ignore[arg-type]

    assert uids() == ["2", "1", "0"]
    assert uids(study_uid="s0") == ["2", "0"]
    assert uids(patient="p1") == ["1"]
    assert uids(body_part="HEAD") == []
    assert catalogue.series.list("other").items == []
