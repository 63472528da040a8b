import math

import numpy as np
import pytest
import torch

from slicebank_models.encoders import hu_statistics as statistics
from slicebank_models.encoders.hu_statistics import HuStatisticsEncoder

SIZE = 256
RNG = np.random.default_rng(0)


def as_rows(hu: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(((np.clip(hu, -1024, 3071) + 1024) / 4095).astype(np.float32))


@pytest.fixture(scope="module")
def encoder() -> HuStatisticsEncoder:
    return HuStatisticsEncoder(input_size=SIZE).eval()


def body(ball_hu: float = 0.0, centre: tuple[int, int] = (120, 130), radius: int = 11, seed: int = 1) -> np.ndarray:
    """An even organ of 105 HU in air with noise of 14 HU and, where asked, a ball that differs."""
    y, x = np.mgrid[:SIZE, :SIZE]
    hu = np.where((y - 128) ** 2 + (x - 128) ** 2 < 110**2, 105.0, -1000.0)
    hu += np.where((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2, ball_hu, 0.0)
    return hu + np.random.default_rng(seed).normal(scale=14, size=hu.shape)


def contrast_features(features: torch.Tensor) -> np.ndarray:
    """(rows, windows, weighting, band, contrast)."""
    start = statistics.BINS + 3 * statistics.COARSE**2
    shape = (len(features), len(statistics.WINDOWS), 3, len(statistics.BANDS_HU) - 1, len(statistics.CONTRASTS_HU))
    return features[:, start:].reshape(shape).numpy()


def test_the_histogram_counts_pixels() -> None:
    hu = RNG.integers(-1024, 3072, (2, SIZE, SIZE)).astype(np.float32)
    found = statistics.histogram(torch.from_numpy(hu), torch.tensor(statistics.EDGES_HU)).numpy()
    for slice_hu, row in zip(hu, found, strict=True):
        counts, _ = np.histogram(slice_hu, [-2000, *statistics.EDGES_HU, 5000])
        np.testing.assert_allclose(row, 2 * np.sqrt(counts / slice_hu.size), rtol=1e-6)


def test_coarse_moments_are_their_definitions() -> None:
    hu = RNG.gamma(2.0, 300.0, (1, SIZE, SIZE)) - 900
    found = statistics.coarse_moments(torch.from_numpy(hu.astype(np.float32)))[0].numpy().reshape(3, 4, 4)
    for row in range(4):
        for column in range(4):
            cell = hu[0, 64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
            deviation = cell.std()
            skewness = ((cell - cell.mean()) ** 3).mean() / (deviation + statistics.SKEW_NOISE_HU) ** 3
            expected = [(cell.mean() + 300) / 400, deviation / 250 - 1, np.clip(skewness, -4, 4) / 2]
            np.testing.assert_allclose(found[:, row, column], 0.5 * np.array(expected), rtol=1e-3, atol=1e-4)


def spots_in_words(hu: np.ndarray, side: int, distance: int) -> np.ndarray:
    """The strongest spot per band, contrast and weighting, one spot at a time."""
    cells = hu.reshape(64, 4, 64, 4).transpose(0, 2, 1, 3).reshape(64, 64, 16)
    diagonal = max(1, round(0.75 * distance))
    steps = [(-distance, 0), (distance, 0), (0, -distance), (0, distance)]
    steps += [(a * diagonal, b * diagonal) for a in (-1, 1) for b in (-1, 1)]
    count = 64 - side + 1 - 2 * distance
    best = np.zeros((3, len(statistics.BANDS_HU) - 1, len(statistics.CONTRASTS_HU)))
    for y in range(count):
        for x in range(count):
            top, left = y + distance, x + distance
            inside = cells[top : top + side, left : left + side]
            around = sorted(cells[top + b : top + b + side, left + a : left + a + side].mean() for b, a in steps)
            groups = [around[at : at + 6] for at in range(3)]
            near = min(groups, key=lambda group: group[-1] - group[0])
            level = np.mean(near)
            evenness = 1 / (1 + np.var(near) / 15**2) / (1 + max(inside.var() - 20**2, 0) / 30**2)
            band = next(at for at in range(6) if statistics.BANDS_HU[at] <= level < statistics.BANDS_HU[at + 1])
            for at, contrast in enumerate(statistics.CONTRASTS_HU):
                spot = max(0.0, 1 - abs(inside.mean() - level - contrast) / 40) * evenness
                weighted = spot * np.array([1.0, x / (count - 1), y / (count - 1)])
                best[:, band, at] = np.maximum(best[:, band, at], weighted)
    return 2 * best


def test_local_contrasts_are_what_the_module_says(encoder: HuStatisticsEncoder) -> None:
    hu = np.clip(body(-90.0), -1024, 3071)
    with torch.inference_mode():
        found = contrast_features(encoder(as_rows(hu)[None]))[0]
    side, distance = statistics.WINDOWS[0]
    np.testing.assert_allclose(found[0], spots_in_words(hu, side, distance), atol=5e-3)


@pytest.mark.parametrize("ball_hu", [-110.0, -70.0, 70.0, 110.0])
@pytest.mark.parametrize("radius", [7, 13])
def test_a_plain_lesion_shows_in_its_contrast_wherever_it_lies(
    ball_hu: float, radius: int, encoder: HuStatisticsEncoder
) -> None:
    places = [(100, 100), (140, 110), (131, 157)]
    with torch.inference_mode():
        lesions = contrast_features(encoder(as_rows(np.stack([body(ball_hu, place, radius) for place in places]))))
        healthy = contrast_features(encoder(as_rows(body()[None])))[0]
    organ = 4  # 85 to 140 HU
    near = [at for at, centre in enumerate(statistics.CONTRASTS_HU) if abs(centre - ball_hu) < 35]
    strongest = lesions[:, :, 0, organ][..., near].max(axis=(1, 2))
    assert strongest.min() > 1.0
    assert np.ptp(strongest) < 0.5
    assert healthy[:, 0, organ][:, near].max() < 0.5
    across = lesions[:, 0, 1, organ][..., near].max(axis=1) / lesions[:, 0, 0, organ][..., near].max(axis=1)
    assert across[0] < across[1] < across[2]


def test_rows_do_not_touch_each_other(encoder: HuStatisticsEncoder) -> None:
    rows = as_rows(np.stack([body(ball_hu, seed=seed) for seed, ball_hu in enumerate((0.0, 80.0, -80.0, 100.0))]))
    with torch.inference_mode():
        together = encoder(rows)
        alone = torch.cat([encoder(row[None]) for row in rows])
    assert torch.equal(together, alone)
    assert together.dtype == torch.float32
    assert together.shape == (4, encoder.dim)


def test_extreme_rows_give_finite_features_of_order_one(encoder: HuStatisticsEncoder) -> None:
    noise = torch.from_numpy(RNG.random((SIZE, SIZE), dtype=np.float32))
    rows = torch.stack([torch.zeros(SIZE, SIZE), torch.ones(SIZE, SIZE), noise, (noise > 0.5).float()])
    with torch.inference_mode():
        features = encoder(rows)
    assert torch.isfinite(features).all()
    assert float(features.abs().max()) < 5.0


def test_cells_must_fit() -> None:
    with pytest.raises(ValueError, match="64"):
        HuStatisticsEncoder(input_size=224)
    assert math.isclose(statistics.LOW_HU + 4095, statistics.HIGH_HU)
