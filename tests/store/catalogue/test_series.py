from __future__ import annotations

from slicebank_store.catalogue import Catalogue

from ..builders import PROJECT, Clock, bag_of, claim, request_of, series_of, stack_of, submit


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


def test_kept_stacks_are_the_axial_ones_of_current_revisions(catalogue: Catalogue) -> None:
    def embed(uid: str, n_slices: int, pixels: str | None) -> None:
        submitted = submit(
            catalogue, series_of(stack_of(range(n_slices), content=f"{uid}/{n_slices}"), series_uid=uid), retain=True
        )
        lease = claim(catalogue, submitted.job_id)
        bag = bag_of(catalogue, lease)
        assert catalogue.jobs.succeed(lease, {"bag_id": bag.bag_id}, bag=bag, pixels_key=pixels)

    embed("2", 3, "old")
    embed("2", 6, "new")
    embed("1", 4, "one")
    embed("3", 4, None)
    found = catalogue.series.kept_stacks(PROJECT)
    assert [(one.series_uid, one.revision, one.stack, one.default, one.n_slices, one.pixels_key) for one in found] == [
        ("1", 1, 0, True, 4, "one"),
        ("2", 2, 0, True, 6, "new"),
    ]
    assert (found[0].patient, found[0].study_uid) == ("p", "1.2")
    assert found[0].geometry == stack_of(range(4)).geometry
    slices = catalogue.series.slices_of(PROJECT, "2", 2, 0)
    assert len(slices) == 6
    assert set(slices[0]) >= {"sop_instance_uid", "instance_number", "frame_number"}
    assert catalogue.series.kept_stacks("other") == ()
    assert catalogue.series.slices_of("other", "2", 2, 0) == ()
    assert catalogue.series.slices_of(PROJECT, "2", 9, 0) == ()
