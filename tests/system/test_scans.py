"""Real CT as slices and as whole scans through one service: what the bags hold, and heads that learn from both."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry
from tests import reference
from tests.system.conftest import Service
from tests.system.test_real_ct import embed

pytestmark = [pytest.mark.system, pytest.mark.realct]

SERIES = (
    "philips_chest_abdomen",
    "ircad17_abdomen_lesions/PATIENT_DICOM",
    "ge_chest_with_scout_and_seg",
    "ge_head_tilt_variable_spacing",
    "siemens_abdomen_j2k_20",
    "dcmqi_multiframe_and_seg/ct-3slice",
)


def expected_features(folder: Path) -> NDArray[np.float32]:
    """What `dummy_scan` says of a folder of single-frame files, by pydicom and scipy, with the whole scan in memory."""
    card = EncoderRegistry().get("dummy_scan")
    assert card.volume is not None
    files = [path for path in folder.iterdir() if path.is_file()]
    slices = reference.read_slices(files)
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    row_mm, column_mm = (float(value) for value in header.PixelSpacing)
    z_mm = np.array([item.position for item in slices])
    stack = np.stack([item.hu for item in slices])  # rising, to the back, to the left
    planes = []
    for count, spacing, wanted, reverse in (
        (len(stack), None, card.volume.spacing_mm[2], False),
        (stack.shape[1], row_mm, card.volume.spacing_mm[1], True),
        (stack.shape[2], column_mm, card.volume.spacing_mm[0], True),
    ):
        extent = z_mm[-1] - z_mm[0] if spacing is None else (count - 1) * spacing
        at = np.arange(round(extent / wanted) + 1) * wanted
        index = (
            np.interp(at + z_mm[0], z_mm, np.arange(count)) if spacing is None else np.minimum(at / spacing, count - 1)
        )
        planes.append(count - 1 - index if reverse else index)
    resampled = map_coordinates(stack, np.meshgrid(*planes, indexing="ij"), order=1, mode="nearest")
    scaled = np.clip((resampled.transpose(2, 1, 0) + 1000) / 2000, 0, 1)  # right, front, up
    for axis, size in enumerate(card.volume.size):
        n = scaled.shape[axis]
        first = max(0, n // 2 - size // 2)
        scaled = scaled.take(range(first, min(first + size, n)), axis)
        short = size - scaled.shape[axis]
        scaled = np.pad(scaled, [(short // 2, short - short // 2) if other == axis else (0, 0) for other in range(3)])
    cells = scaled.reshape(8, 8, 8, 8, 6, 8).mean(axis=(1, 3, 5)).reshape(1, -1)
    matrix = load_encoder(card).weights()["matrix"].numpy()
    features: NDArray[np.float32] = ((cells - 0.5) @ matrix).astype(np.float32)
    return features


@pytest.mark.parametrize("folder", [SERIES[1], SERIES[3], SERIES[4]])
def test_a_scan_is_what_an_independent_reader_makes_of_it(
    service: Service, real_ct: Path, folder: str, tmp_path: Path
) -> None:
    upload = embed(service.client, real_ct / "ct" / folder, encoder="dummy_scan")
    (series,) = upload.series
    bag = service.client.bags.get(series.bag_id or "")
    assert (bag.n_rows, bag.dim) == (1, 24)
    assert bag.n_slices > 1
    with h5py.File(service.client.bags.download(bag.bag_id, tmp_path / "bag.h5")) as file:
        np.testing.assert_allclose(file["feats"][:], expected_features(real_ct / "ct" / folder), atol=2e-4)
        assert file.attrs["level"] == "scan"
        assert file["coords"].shape == (1, 2)
        assert len(file["thumbnails"]) == bag.n_slices


def test_heads_learn_from_slices_and_from_scans_of_real_series(service: Service, real_ct: Path) -> None:
    client = service.client
    for encoder, rows in (("dummy", None), ("dummy_scan", 1)):
        uids = []
        for folder in SERIES:
            upload = embed(client, real_ct / "ct" / folder, encoder=encoder)
            # Of a series that other tests have brought already, the upload tells no number of slices.
            bag = max((client.bags.get(item.bag_id or "") for item in upload.series), key=lambda item: item.n_slices)
            assert bag.n_slices > 1
            assert bag.n_rows == (rows or 2 * bag.n_slices)
            uids.append(bag.series_uid)
        training = client.heads.train(
            f"real-{encoder}",
            encoder,
            {"kind": "binary", "labels": ["big"]},
            {uid: int(index < 3) for index, uid in enumerate(uids)},
            {"folds": 2, "max_epochs": 2, "test_fraction": 0},
        )
        assert client.jobs.wait(training.job_id, timeout=300).state == "succeeded"
        answer = client.heads.predict(f"real-{encoder}", uids[1])
        assert 0 < answer.outputs[0].probability < 1
        assert sum(row.weight for row in answer.attention.rows) == pytest.approx(1)
        assert bool(answer.attention.slices) == (rows is None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "dim"), [("merlin.untrained", 512), ("ct_clip.untrained", 512), ("ct_fm.untrained", 512)]
)
def test_networks_of_scans(service: Service, real_ct: Path, encoder: str, dim: int, tmp_path: Path) -> None:
    rows = []
    for folder in (SERIES[1], SERIES[4]):
        upload = service.client.series.upload(real_ct / "ct" / folder, encoder=encoder)
        (series,) = upload.series
        job = service.client.jobs.wait(series.job_id or "", timeout=900)
        assert job.state == "succeeded"
        bag = service.client.bags.get(series.bag_id or "")
        assert (bag.n_rows, bag.dim) == (1, dim)
        with h5py.File(service.client.bags.download(bag.bag_id, tmp_path / f"{bag.bag_id}.h5")) as file:
            rows.append(file["feats"][0])
    assert np.isfinite(rows).all()
    assert np.abs(rows[0] - rows[1]).max() > 0
