"""Noise with the grain of CT: band-limited, with little power at low and none at the highest frequencies."""

from collections.abc import Iterator

import numpy as np

from slicebank_imaging.phantom.canvas import Plane
from slicebank_imaging.phantom.spec import PhantomSpec

TILES = 6
PEAK_PER_MM = 0.28  # noise power of a standard abdominal kernel peaks near 0.3 line pairs a mm


def noise_planes(spec: PhantomSpec) -> Iterator[Plane]:
    """One (rows, columns) plane of noise in HU for each slice, shifted pieces of a few filtered tiles."""
    rng = np.random.Generator(np.random.Philox(key=[spec.seed & 0xFFFFFFFFFFFFFFFF, 0x6E01]))
    tiles = [_tile(rng, spec) for _ in range(TILES)]
    for _ in range(spec.n_slices):
        first, second = rng.integers(TILES, size=2)
        weight = np.float32(rng.uniform(0.6, 0.8))
        plane = weight * _shifted(tiles[first], rng)
        plane += np.sqrt(1 - weight * weight) * _shifted(tiles[second], rng)
        yield plane * np.float32(spec.noise_hu)


def _tile(rng: np.random.Generator, spec: PhantomSpec) -> Plane:
    """A tile of unit variance whose power follows f^2 exp(-2 f^2 / peak^2): the ramp filter times a smooth kernel."""
    white = rng.standard_normal((spec.size, spec.size), dtype=np.float32)
    down = np.fft.fftfreq(spec.size, spec.pixel_mm)[:, None]
    across = np.fft.rfftfreq(spec.size, spec.pixel_mm)[None, :]
    squared = (down * down + across * across) / PEAK_PER_MM**2
    tile = np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(squared) * np.exp(-0.5 * squared), s=white.shape)
    scaled: Plane = (tile / tile.std()).astype(np.float32)
    return scaled


def _shifted(tile: Plane, rng: np.random.Generator) -> Plane:
    rows, columns = rng.integers(tile.shape[0], size=2)
    return np.roll(tile, (int(rows), int(columns)), axis=(0, 1))
