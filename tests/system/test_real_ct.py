"""Real CT through the whole service: how many rows each series gives, and that each row is the right one."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from slicebank import Client, Upload
from tests import reference
from tests.system.conftest import Service

pytestmark = [pytest.mark.system, pytest.mark.realct]


def embed(client: Client, path: Path, **options: object) -> Upload:
    upload = client.series.upload(path, **options)  # type: ignore[arg-type]
    for job_id in upload.job_ids:
        client.jobs.wait(job_id, timeout=300)
    return upload


@pytest.mark.parametrize(
    ("folder", "slices"),
    [
        ("philips_chest_abdomen", 275),
        ("ircad17_abdomen_lesions/PATIENT_DICOM", 119),
        ("ge_chest_with_scout_and_seg", 135),
        ("ge_head_tilt_variable_spacing", 28),
        ("siemens_abdomen_j2k_20", 20),
        ("dcmqi_multiframe_and_seg/23x38x3/multiframe", 3),
        ("dcmqi_multiframe_and_seg/ct-3slice", 3),
        ("no_modality_tag", 2),
    ],
)
def test_rows_of_each_series(service: Service, real_ct: Path, folder: str, slices: int, tmp_path: Path) -> None:
    upload = embed(service.client, real_ct / "ct" / folder)
    series = max(upload.series, key=lambda s: s.n_slices)
    assert series.n_slices == slices
    bag = service.client.bags.get(series.bag_id or "")
    assert (bag.n_rows, bag.n_slices, bag.dim) == (2 * slices, slices, 288)
    path = service.client.bags.download(bag.bag_id, tmp_path / "bag.h5")
    with h5py.File(path) as file:
        assert file["feats"].shape == (2 * slices, 288)
        assert np.all(np.diff(file["z_mm"][:]) > 0)
        np.testing.assert_array_equal(file["slice_index"][:], np.repeat(np.arange(slices), 2))
        np.testing.assert_array_equal(file["window_index"][:], np.tile([0, 1], slices))
        np.testing.assert_allclose(file["coords"][:, 0], np.repeat(file["z_mm"][:], 2) * 1000, rtol=1e-6)
        if slices >= 20:  # the small files repeat themselves
            assert len(np.unique(file["feats"][:], axis=0)) == 2 * slices


def test_scout_and_seg_are_turned_away_by_name(service: Service, real_ct: Path) -> None:
    upload = embed(service.client, real_ct / "ct" / "ge_chest_with_scout_and_seg", encoder="dummy")
    assert [series.n_slices for series in upload.series] == [135]
    reasons = {item.name.split("/", 1)[1]: item.code for item in upload.rejected}
    segmentations = {name: code for name, code in reasons.items() if name.startswith("SEG_")}
    assert set(segmentations.values()) == {"not_an_image"}
    assert {name: code for name, code in reasons.items() if name not in segmentations} == {
        "CT_336581/0001.dcm": "localizer"
    }
    assert all(item.detail for item in upload.rejected)


def test_tilt_and_spacing_are_reported(service: Service, real_ct: Path) -> None:
    upload = embed(service.client, real_ct / "ct" / "ge_head_tilt_variable_spacing", encoder="dummy")
    geometry = upload.series[0].geometry
    assert abs(geometry["gantry_tilt_deg"]) == pytest.approx(18.5, abs=0.1)
    assert geometry["uniform"] is False
    assert geometry["spacing_mm"]["distinct"] == pytest.approx([1.08, 4.0, 7.0], abs=0.02)


def test_the_same_series_again_computes_nothing_and_another_encoder_adds_a_bag(service: Service, real_ct: Path) -> None:
    folder = real_ct / "ct" / "siemens_abdomen_j2k_20"
    first = embed(service.client, folder).series[0]
    done = service.client.jobs.get(first.job_id or "")
    again = service.client.series.upload(folder).series[0]
    assert (again.bag_id, again.job_id, again.revision) == (first.bag_id, first.job_id, first.revision)
    assert again.state == "succeeded"
    assert service.client.jobs.get(again.job_id or "") == done
    other = embed(service.client, folder, encoder="hu_statistics").series[0]
    assert other.bag_id != first.bag_id
    bags = {bag.bag_id for bag in service.client.bags.list(series_uid=first.series_uid)}
    assert {first.bag_id, other.bag_id} <= bags


def test_order_follows_position_not_names(service: Service, real_ct: Path, tmp_path: Path) -> None:
    folder = real_ct / "ct" / "ircad17_abdomen_lesions" / "PATIENT_DICOM"
    upload = embed(service.client, folder, encoder="dummy")
    path = service.client.bags.download(upload.series[0].bag_id or "", tmp_path / "bag.h5")
    expected = [s.sop_instance_uid for s in reference.read_slices(p for p in folder.iterdir() if p.is_file())]
    with h5py.File(path) as file:
        assert [uid.decode() for uid in file["sop_instance_uid"][:]] == expected
