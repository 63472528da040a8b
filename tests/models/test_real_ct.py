"""Real slices, read and rendered here without slicebank's own code, through the default encoder."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry

pytestmark = pytest.mark.realct

WINDOWS = ((-175.0, 275.0), (-1500.0, 500.0))
SIZE = EncoderRegistry().get(DEFAULT_ENCODER).input_size
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def volume(real_ct: Path) -> Floats:
    """Sixteen neighbouring slices of an abdomen, (16, 512, 512) HU, bottom up."""
    files = [
        path for path in (real_ct / "ct" / "ircad17_abdomen_lesions" / "PATIENT_DICOM").iterdir() if path.is_file()
    ]
    headers = [pydicom.dcmread(path) for path in files]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    return np.stack(
        [header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept) for header in headers[48:64]]
    )


def render(
    volume: Floats, *, windows: tuple[tuple[float, float], ...] = WINDOWS, nearest: bool = False
) -> NDArray[np.uint8]:
    """(2 * slices, SIZE, SIZE) uint8: the abdominal, then the lung row of each slice."""
    rows = []
    for hu in volume:
        for low, high in windows:
            grey = np.floor(255 * np.clip((hu - low) / (high - low), 0, 1) + 0.5).astype(np.uint8)
            how = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
            rows.append(np.asarray(Image.fromarray(grey).resize((SIZE, SIZE), how)))
    return np.stack(rows)


def encode(rows: NDArray[np.uint8], *, batch: int, precision: str) -> NDArray[np.float32]:
    card = EncoderRegistry().get(DEFAULT_ENCODER)
    encoder = FrozenEncoder(card, load_encoder(card), precision="fp32" if precision == "fp32" else "standard")
    return np.concatenate([encoder.encode(rows[at : at + batch]) for at in range(0, len(rows), batch)])


@pytest.fixture(scope="module")
def reference(volume: Floats) -> NDArray[np.float32]:
    return encode(render(volume), batch=1, precision="fp32")


def agreement(features: NDArray[np.float32], reference: NDArray[np.float32]) -> tuple[float, bool]:
    """Lowest cosine to the reference after subtracting its mean, and whether each row is nearest to its own."""
    mean = reference.mean(axis=0, dtype=np.float64)
    a, b = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (features - mean, reference - mean))
    similarity = a @ b.T
    return float(np.diag(similarity).min()), bool((similarity.argmax(axis=1) == np.arange(len(a))).all())


def test_batches_in_full_precision_agree_with_single_rows(volume: Floats, reference: NDArray[np.float32]) -> None:
    lowest, own = agreement(encode(render(volume), batch=16, precision="fp32"), reference)
    assert lowest >= 0.9999
    assert own


def test_bfloat16_keeps_what_tells_neighbouring_slices_apart(volume: Floats, reference: NDArray[np.float32]) -> None:
    lowest, own = agreement(encode(render(volume), batch=16, precision="standard"), reference)
    assert lowest >= 0.999
    assert own


def test_planted_faults_show(volume: Floats, reference: NDArray[np.float32]) -> None:
    faults = {
        "off by one slice": render(np.roll(volume, 1, axis=0)),
        "24 HU too high": render(volume + 24),
        "windows swapped": render(volume, windows=WINDOWS[::-1]),
        "nearest neighbour": render(volume, nearest=True),
    }
    for name, rows in faults.items():
        lowest, _ = agreement(encode(rows, batch=16, precision="standard"), reference)
        assert lowest < 0.998, name
