"""The encoder on a CUDA device gives the CPU's features, whether rows come ready or as stored slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slicebank_imaging.phantom import PhantomSpec, make_phantom
from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.windows import NAMED
from slicebank_models.inference import FrozenEncoder
from slicebank_models.loading import load_encoder
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_worker.engine import EncoderKey, EncoderShelf, Engine, EngineLimits
from slicebank_worker.engine.cuda import CudaEncoder
from slicebank_worker.engine.host import HostEncoder
from slicebank_worker.engine.parcels import Parcel, StoredSlice
from slicebank_worker.engine.rows import make_rows
from slicebank_worker.engine.shelf import BatchEncoder

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

KEY = EncoderKey(DEFAULT_ENCODER, "", "fp32")
WINDOWS = (NAMED["abdomen"], NAMED["lung"])


def encoder(device: str, encoder_id: str = DEFAULT_ENCODER) -> BatchEncoder:
    card = EncoderRegistry().get(encoder_id)
    frozen = FrozenEncoder(card, load_encoder(card), device=device, precision="fp32")
    return HostEncoder(frozen) if device == "cpu" else CudaEncoder(frozen)


def stored_slices(size: int) -> list[Parcel]:
    hu = make_phantom(PhantomSpec(seed=3, n_slices=12, size=size, slice_spacing_mm=5.0), []).hu
    return [StoredSlice(CTSlice(values.astype(np.int16), 1.0, 0.0, None), WINDOWS, 224) for values in hu]


def features_of(parcels: list[Parcel], device: str, batch_rows: int) -> np.ndarray:
    engine = Engine([EncoderShelf(lambda _: encoder(device), kept=1)], EngineLimits((batch_rows,), batch_rows))
    try:
        with engine.stream(KEY, interactive=False) as stream:
            return np.concatenate([f.result(300).features for f in [engine.submit(stream, p) for p in parcels]])
    finally:
        engine.close()


def test_rows_made_on_the_device_give_the_features_of_the_cpu() -> None:
    parcels = stored_slices(512) + stored_slices(256)
    expected = features_of(parcels, "cpu", 8)
    found = features_of(parcels, "cuda:0", 10)
    centre = expected.mean(axis=0)
    a, b = expected - centre, found - centre
    assert ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min() > 0.9999


def test_ready_rows_and_stored_slices_may_share_a_batch() -> None:
    slices = stored_slices(300)
    mixed: list[Parcel] = [make_rows(item) if at % 3 == 0 else item for at, item in enumerate(slices)]
    np.testing.assert_allclose(
        features_of(mixed, "cuda:0", 32), features_of(slices, "cuda:0", 32), rtol=1e-2, atol=1e-2
    )


def test_a_volume_goes_through_the_device() -> None:
    card = EncoderRegistry().get("dummy_scan")
    assert card.volume is not None
    generator = np.random.default_rng(5)
    volumes = [generator.random((1, *card.volume.size), np.float32) for _ in range(3)]
    engine = Engine([EncoderShelf(lambda _: encoder("cuda:0", "dummy_scan"), kept=1)], EngineLimits((1,), 1))
    try:
        with engine.stream(KEY, interactive=False) as stream:
            found = [future.result(300).features for future in [engine.submit(stream, v) for v in volumes]]
    finally:
        engine.close()
    expected = FrozenEncoder(card, load_encoder(card)).encode(np.concatenate(volumes))
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-4)
