"""What each reader expects, as INTEROP.md writes it down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from slicebank_store.bags import read_bag
from slicebank_store.catalogue import BagRecord
from tests.service.exports.reading import Unpacked, clam_features, stamp_features, unpack
from tests.service.support import ENCODER, Cohort

Export = Callable[..., Unpacked]


@pytest.fixture
def export(cohort: Cohort, tmp_path: Path) -> Export:
    def run(layout: str, **asked: Any) -> Unpacked:
        body = {"layout": layout, "encoder": ENCODER, **asked}
        return unpack(cohort.api.post("/v1/exports", json=body), tmp_path / layout)

    return run


def labels(cohort: Cohort, key: str = "series_uid") -> list[dict[str, str]]:
    """Two labels a bag; the second is not known of the last one."""
    keys = [getattr(bag, key) for bag in cohort.bags]
    return [{key: name, "lesion": str(at % 2), "effusion": "1" if at < 3 else ""} for at, name in enumerate(keys)]


def rows_of(cohort: Cohort, bag: BagRecord) -> np.ndarray[Any, np.dtype[np.float32]]:
    with cohort.world.blobs.open_local(bag.blob_key) as path:
        return read_bag(path).features


def test_stamp(cohort: Cohort, export: Export) -> None:
    out = export("stamp", labels=labels(cohort))
    folder = out.root / "features" / ENCODER
    slides, clini = out.table("slide.csv"), out.table("clini.csv")
    assert (out.header("slide.csv"), out.header("clini.csv")) == ("PATIENT,FILENAME", "PATIENT,lesion,effusion")
    for table in (slides, clini):
        patients = [row["PATIENT"] for row in table]
        assert patients == sorted(patients)
    assert len({row["PATIENT"] for row in clini}) == len(clini) == 4
    assert len({row["FILENAME"] for row in slides}) == 4
    by_patient = {row["PATIENT"]: row for row in clini}
    for slide in slides:
        bag = next(bag for bag in cohort.bags if f"{bag.series_uid}.h5" == slide["FILENAME"])
        assert bag.patient == slide["PATIENT"]
        np.testing.assert_array_equal(stamp_features(folder, folder / slide["FILENAME"]), rows_of(cohort, bag))
        assert by_patient[bag.patient]["lesion"] == str(cohort.bags.index(bag) % 2)
    assert by_patient[cohort.bags[3].patient]["effusion"] == ""


def test_trident(cohort: Cohort, export: Export) -> None:
    out = export("trident", labels=labels(cohort))
    for row in out.table("labels.csv"):
        bag = next(bag for bag in cohort.bags if bag.series_uid == row["slide_id"])
        size = bag.recipe["size"]
        read = clam_features(out.root / f"1x_{size}px_0px_overlap/features_{ENCODER}" / f"{row['slide_id']}.h5")
        np.testing.assert_array_equal(read["features"], rows_of(cohort, bag))
        attrs = read["attrs"]
        assert (attrs["target_magnification"], attrs["patch_size"], attrs["overlap"]) == (1, size, 0)
        assert (row["case_id"], attrs["name"]) == (bag.patient, bag.series_uid)
    assert out.header("labels.csv") == "case_id,slide_id,lesion,effusion"


def test_clam_has_a_table_a_label_and_tensors(cohort: Cohort, export: Export) -> None:
    out = export("clam", labels=labels(cohort))
    assert out.header("dataset_1_lesion.csv") == "case_id,slide_id,label"
    assert len(out.table("dataset_1_lesion.csv")) == 4
    assert len(out.table("dataset_2_effusion.csv")) == 3, "what is not known is left out"
    for row in out.table("dataset_1_lesion.csv"):
        bag = next(bag for bag in cohort.bags if bag.series_uid == row["slide_id"])
        tensor = torch.load(out.root / "pt_files" / f"{row['slide_id']}.pt", weights_only=True)
        assert (tensor.dtype, tuple(tensor.shape), tensor.is_contiguous()) == (
            torch.float32,
            (bag.n_rows, bag.dim),
            True,
        )
        np.testing.assert_array_equal(tensor.numpy(), rows_of(cohort, bag))
        read = clam_features(out.root / "h5_files" / f"{row['slide_id']}.h5")
        np.testing.assert_array_equal(read["features"], tensor.numpy())


def test_one_label_is_clams_dataset(cohort: Cohort, export: Export) -> None:
    one = [{"series_uid": row["series_uid"], "stage": "II" if row["lesion"] == "1" else "I"} for row in labels(cohort)]
    out = export("clam", labels=one)
    assert {row["label"] for row in out.table("dataset.csv")} == {"I", "II"}


def test_clear(cohort: Cohort, export: Export) -> None:
    out = export("clear", labels=labels(cohort))
    assert out.header("labels.csv") == "image,lesion,effusion,all"
    rows = out.table("labels.csv")
    assert len(rows) == 3, "a row with a label that is not known is left out"
    for row in rows:
        bag = next(bag for bag in cohort.bags if row["image"].endswith(bag.series_uid))
        assert row["image"].split("_")[0] == bag.patient
        assert int(row["all"]) == max(int(row["lesion"]), int(row["effusion"]))
        with h5py.File(out.root / f"{ENCODER}_Features" / f"{row['image']}.h5") as file:
            np.testing.assert_array_equal(file["feats"][:], rows_of(cohort, bag))


def test_parquet(cohort: Cohort, export: Export) -> None:
    out = export("parquet", labels=labels(cohort))
    assert out.header("bags.csv") == "bag_id,series_uid,study_uid,patient,n_rows,lesion,effusion"
    for bag in cohort.bags:
        table = pq.read_table(out.root / "rows" / f"{bag.series_uid}.parquet")
        assert table.num_rows == bag.n_rows
        assert table.schema.field("features").type.list_size == bag.dim
        features = table["features"].combine_chunks().flatten().to_numpy().reshape(bag.n_rows, bag.dim)
        np.testing.assert_array_equal(features, rows_of(cohort, bag))
        with cohort.world.blobs.open_local(bag.blob_key) as path:
            content = read_bag(path)
        names = [window["name"] for window in bag.windows]
        read = table.to_pydict()
        assert read["slice"] == content.slice_index.tolist()
        assert read["window"] == [names[index] for index in content.window_index]
        at = [content.slice_position(index) for index in read["slice"]]
        assert read["sop_instance_uid"] == [content.sop_instance_uid[where] for where in at]
        assert read["z_mm"] == [content.z_mm[where] for where in at]
        assert set(read["patient"]) == {bag.patient}
        assert "attention" not in read


def test_one_bag_as_a_tensor_and_as_parquet(cohort: Cohort, tmp_path: Path) -> None:
    bag = cohort.bags[0]
    for kind in ("pt", "parquet"):
        response = cohort.api.get(f"/v1/bags/{bag.bag_id}/file", params={"format": kind})
        assert response.headers["etag"] == f'"{bag.sha256}-{kind}"'
        (tmp_path / f"bag.{kind}").write_bytes(response.content)
    tensor = torch.load(tmp_path / "bag.pt", weights_only=True)
    np.testing.assert_array_equal(tensor.numpy(), rows_of(cohort, bag))
    assert pq.read_table(tmp_path / "bag.parquet")["patient"][0].as_py() == bag.patient


def test_the_folder_of_all_rows_reads_as_one_table(export: Export, cohort: Cohort) -> None:
    out = export("parquet")
    whole = pq.read_table(out.root / "rows")
    assert whole.num_rows == sum(bag.n_rows for bag in cohort.bags)


@pytest.mark.parametrize("layout", ["stamp", "trident", "clam", "clear"])
def test_pictures_stay_behind_unless_they_are_asked_for(export: Export, layout: str) -> None:
    def pictures(out: Unpacked) -> list[bool]:
        found = []
        for name in out.names:
            if name.endswith(".h5"):
                with h5py.File(out.root / name) as file:
                    found.append("thumbnails" in file)
        return found

    assert pictures(export(layout)) == [False] * 4
    assert pictures(export(layout, thumbnails=True)) == [True] * 4


@pytest.mark.parametrize("layout", ["stamp", "trident", "clam", "clear", "parquet"])
def test_the_same_bags_give_the_same_files(export: Export, layout: str) -> None:
    first = (export(layout).root / "SHA256SUMS").read_text()
    assert (export(layout).root / "SHA256SUMS").read_text() == first
