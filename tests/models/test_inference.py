from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slicebank_models.encoders.scan_encoder import ScanEncoder
from slicebank_models.errors import BadRows
from slicebank_models.inference import FrozenEncoder, Precision, has_native_bfloat16
from slicebank_models.loading import load_encoder
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_models.volume_spec import VolumeSpec


def frozen(name: str, precision: Precision = "standard", device: str = "cpu") -> FrozenEncoder:
    card = EncoderRegistry().get(name)
    return FrozenEncoder(card, load_encoder(card), device=device, precision=precision)


def smooth_rows(count: int, size: int = EncoderRegistry().get(DEFAULT_ENCODER).input_size) -> np.ndarray:
    """Bodies of changing size: content that differs from row to row as slices do."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    rows = [
        255 * (x**2 / (0.08 + 0.01 * at) + y**2 / 0.12 < 1) * (0.6 + 0.3 * np.sin(9 * x + at) * np.cos(7 * y - at))
        for at in range(count)
    ]
    return np.stack(rows).astype(np.uint8)


def centred_cosines(a: np.ndarray, b: np.ndarray, mean: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64) - mean, b.astype(np.float64) - mean
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_batches_of_any_size_and_the_same_bits_twice() -> None:
    encoder = frozen(DEFAULT_ENCODER)
    rows = smooth_rows(5)
    features = encoder.encode(rows)
    assert features.shape == (5, encoder.dim)
    assert features.dtype == np.float32
    assert np.array_equal(encoder.encode(rows), features)
    assert encoder.encode(rows[:0]).shape == (0, encoder.dim)
    singles = np.concatenate([encoder.encode(row[None]) for row in rows])
    assert centred_cosines(singles, features, features.mean(axis=0)).min() > 0.999


def test_full_precision_agrees_with_one_row_at_a_time_and_standard_is_near() -> None:
    exact, standard = frozen(DEFAULT_ENCODER, "fp32"), frozen(DEFAULT_ENCODER)
    rows = smooth_rows(6)
    reference = np.concatenate([exact.encode(row[None]) for row in rows])
    mean = reference.mean(axis=0)
    assert exact.numerics["dtype"] == "float32"
    assert centred_cosines(exact.encode(rows), reference, mean).min() > 0.999999
    assert centred_cosines(standard.encode(rows), reference, mean).min() > 0.998


@pytest.mark.parametrize("name", ["mambaout_femto.untrained", "vit_small.untrained"])
def test_a_row_does_not_depend_on_what_shares_its_batch(name: str) -> None:
    module = load_encoder(EncoderRegistry().get(name)).to(memory_format=torch.channels_last)
    rows, mates = torch.from_numpy(smooth_rows(4, 224)), torch.from_numpy(255 - smooth_rows(8, 224)[4:])

    def alone_and_together() -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            alone = torch.cat([module(row[None]) for row in rows])
            first = module(torch.cat([mates[:3], rows[:2]]))[3:]
            last = module(torch.cat([rows[2:], mates[3:]]))[:2]
        together = torch.cat([first, last])
        return alone.numpy(), together.numpy()

    alone, together = alone_and_together()
    assert np.abs(alone - together).max() <= 1e-5 * np.abs(alone).max()
    module.lower(torch.bfloat16)
    low_alone, low_together = alone_and_together()
    assert centred_cosines(low_alone, low_together, low_alone.mean(axis=0)).min() >= 0.998


def test_bfloat16_runs_where_the_processor_has_it_and_nowhere_else() -> None:
    native = has_native_bfloat16(torch.device("cpu"))
    assert frozen(DEFAULT_ENCODER).numerics["dtype"] == ("bfloat16" if native else "float32")
    for name in ("hu_statistics", "dummy"):
        assert frozen(name).numerics["dtype"] == "float32"


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags : amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags : avx512f avx512_bf160\n", False),
        ("", False),
    ],
)
def test_processor_flags(text: str, native: bool, tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert has_native_bfloat16(torch.device("cpu"), path) is native
    assert not has_native_bfloat16(torch.device("cpu"), tmp_path / "absent")
    assert not has_native_bfloat16(torch.device("meta"), path)


def test_rows_of_another_kind_are_refused() -> None:
    encoder = frozen("dummy")
    for rows in (np.zeros((1, 32, 32), np.uint8), np.zeros((1, 64, 64), np.float32), np.zeros((64, 64), np.uint8)):
        with pytest.raises(BadRows, match="uint8"):
            encoder.encode(rows)
    with pytest.raises(BadRows, match="float32"):
        frozen("hu_statistics").encode(np.zeros((1, 256, 256), np.float64))


def test_read_only_and_strided_rows_are_taken() -> None:
    encoder = frozen("dummy")
    rows = smooth_rows(4, 64)
    expected = encoder.encode(rows)
    rows.setflags(write=False)
    assert np.array_equal(encoder.encode(rows), expected)
    assert np.array_equal(encoder.encode(np.repeat(rows, 2, axis=2)[:, :, ::2]), expected)


def test_settings_of_the_process_stay_as_they_were() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()
    frozen("dummy").encode(smooth_rows(1, 64))
    assert (torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()) == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_the_cpu() -> None:
    rows = smooth_rows(6)
    reference = frozen(DEFAULT_ENCODER, "fp32").encode(rows)
    mean = reference.mean(axis=0)
    assert centred_cosines(frozen(DEFAULT_ENCODER, "fp32", "cuda").encode(rows), reference, mean).min() > 0.9999
    assert centred_cosines(frozen(DEFAULT_ENCODER, "standard", "cuda").encode(rows), reference, mean).min() > 0.998


class Convolved(ScanEncoder):
    """A convolution of volumes, whose weights have five dimensions."""

    def __init__(self, spec: VolumeSpec) -> None:
        super().__init__(dim=2, spec=spec)
        self.trunk = torch.nn.Conv3d(1, 2, 3)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.trunk(volumes.unsqueeze(1)).mean(dim=(2, 3, 4))
        return features


def test_volumes_are_taken_as_they_come() -> None:
    card = EncoderRegistry().get("dummy_scan")
    assert card.volume is not None
    encoder = FrozenEncoder(replace(card, dim=2), Convolved(card.volume))
    assert encoder.numerics["channels_last"] is False
    assert encoder.encode(np.zeros((1, *card.volume.size), np.float32)).shape == (1, 2)
    with pytest.raises(BadRows, match="64, 64, 48"):
        encoder.encode(np.zeros((1, 64, 64), np.float32))
