"""Slices of kept pixels, behind a real service that took the studies in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slicebank_imaging.phantom import PhantomSeries, PhantomSpec, make_phantom, write_dicom
from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox
from slicebank_store.identity import ProjectKeys
from slicebank_store.pseudonyms import PatientPolicy, Policies, Pseudonyms, UidPolicy
from slicebank_store.settings import StoreSettings
from slicebank_worker.pretraining.box_table import BoxTable, SliceKey
from slicebank_worker.pretraining.store_series import StoreSource
from tests.worker.conftest import Workshop

SPEC = PhantomSpec(seed=3, n_slices=4, size=32)


def kept(workshop: Workshop, folder: Path, *, retain: bool = True, seed: int = 3) -> PhantomSeries:
    spec = PhantomSpec(seed=seed, n_slices=4, size=32)
    written = write_dicom(make_phantom(spec), folder / str(seed))
    files = {path.name: path.read_bytes() for path in written.paths}
    workshop.run(workshop.upload(files, encoder="dummy", retain=retain)["job_id"])
    return written


def settings(tmp_path: Path) -> StoreSettings:
    return StoreSettings(data_dir=tmp_path / "data")


def boxes(folder: Path, uid: str) -> BoxTable:
    (folder / "boxes.csv").write_text(f"sop_instance_uid,x_min,y_min,x_max,y_max,label\n{uid},1,2,3,4,cyst\n")
    table = BoxTable(folder / "boxes.csv")
    table.users = 1
    return table


def test_kept_series_are_read_with_their_boxes(workshop: Workshop, tmp_path: Path) -> None:
    series = kept(workshop, tmp_path)
    kept(workshop, tmp_path, retain=False, seed=4)
    table = boxes(tmp_path, series.sop_instance_uids[2])
    source = StoreSource(settings(tmp_path), boxes=table, workers=2)
    slices = list(source.slices())
    assert len(source) == len(slices) == 4
    np.testing.assert_array_equal(np.stack([one.hu for one in slices]), make_phantom(SPEC).hu)
    assert [one.boxes for one in slices] == [(), (), (LesionBox(2, 1, 4, 3),), ()]
    assert slices[2].label == "cyst"
    assert {one.series for one in slices} == {series.series_uid}
    record = workshop.world.catalogue.series.get("default", series.series_uid)
    assert record is not None
    assert {one.patient for one in slices} == {record.patient}
    assert slices[0].pixel_mm == pytest.approx(380 / 32)
    assert source.left_out == ()


def test_a_project_without_kept_pixels_is_told(workshop: Workshop, tmp_path: Path) -> None:
    kept(workshop, tmp_path, retain=False)
    with pytest.raises(SourceProblem, match="--retain"):
        StoreSource(settings(tmp_path), workers=1)
    with pytest.raises(SourceProblem, match="Project other"):
        StoreSource(settings(tmp_path), "other", workers=1)


def test_boxes_of_other_slices_are_told_first(workshop: Workshop, tmp_path: Path) -> None:
    kept(workshop, tmp_path)
    source = StoreSource(settings(tmp_path), boxes=boxes(tmp_path, "9.9"), workers=1)
    with pytest.raises(SourceProblem, match=r"names 9\.9"):
        next(source.slices())


def test_pixels_that_are_gone_are_named(workshop: Workshop, tmp_path: Path) -> None:
    series = kept(workshop, tmp_path)
    (key,) = [key for key in workshop.world.blobs.keys() if "/pixels/" in key]  # noqa: SIM118 - not a mapping
    workshop.world.blobs.delete(key)
    source = StoreSource(settings(tmp_path), workers=1)
    assert list(source.slices()) == []
    assert source.left_out[0].startswith(series.series_uid)


def test_hashed_uids_are_found_by_the_senders_own(tmp_path: Path) -> None:
    """A project that hashes UIDs knows slices by others than the table of whoever drew the boxes."""
    names = Pseudonyms(ProjectKeys(tmp_path / "keys"), "p", Policies(UidPolicy.HASH, PatientPolicy.HASH))
    table = boxes(tmp_path, "1.2.3")
    table.also_by(names.uid_asked)
    assert table.of(SliceKey(names.uid("1.2.3"), "", None))
