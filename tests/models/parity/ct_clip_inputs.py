"""Volumes and weights of the comparison with CT-CLIP.

Two sizes are compared: a small one, 30 frames of 120 x 120, and the real one, 240 of 480 x 480. Volumes are those of
`parity_volumes` in patches of equal voxels, four times coarser for the real size, under fine noise, without which
patches of one value would be normed to rounding errors.

Weights follow `formula.py` with three exceptions. `beta` is a bias by another name. `null_kv` is empty. The codebook is
drawn under a seed of its own, the first for which no token of the three volumes has its two nearest codes closer than
`SMALLEST_GAP` in cosine: rounding errors are 100 times smaller, so both implementations must pick the same codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from slicebank_models.encoders.seeding import seeded_uniform
from slicebank_models.volume_spec import Resampling, VolumeSpec
from tests.models.parity.formula import SEED, Override, parity_volumes

SMALLEST_GAP = 1e-6
GAIN = 1.5
CODEBOOK = "_codebook.embed"
LATENT = "to_visual_latent.weight"


@dataclass(frozen=True)
class Comparison:
    """One size.

    Attributes:
        golden: Name of its file.
        size: Frames, height, width.
        repeated: Voxels a side that a voxel of the coarse volume becomes.
        codebook_seed: See the module.
        token_step: Every how many tokens one is recorded as it is before quantisation.
        code_step: The same of the numbers of codes.
    """

    golden: str
    size: tuple[int, int, int]
    repeated: int
    codebook_seed: int
    token_step: int
    code_step: int

    @property
    def spec(self) -> VolumeSpec:
        """The volume of the card."""
        return volume_spec(self.size)

    def volume(self, index: int) -> Tensor:
        """Returns (frames, H, W) float32 between -1 and 1."""
        frames, height, width = (side // self.repeated for side in self.size)
        coarse = parity_volumes((frames, height, width), -0.9, 0.9)[index]
        for axis in range(3):
            coarse = coarse.repeat_interleave(self.repeated, dim=axis)
        noise = torch.from_numpy(seeded_uniform(SEED, f"texture.{index}", (16, 24, 48), 0.1))
        tiled = noise.repeat(*(math.ceil(side / of) for side, of in zip(self.size, noise.shape, strict=True)))
        return coarse + tiled[tuple(slice(side) for side in self.size)]

    def override(self) -> Override:
        """Returns the exceptions to the table of `formula.py`."""
        return exceptions(self.codebook_seed)


def exceptions(codebook_seed: int) -> Override:
    """Returns the exceptions to the table of `formula.py`."""

    def own(name: str, shape: tuple[int, ...], u: Tensor) -> Tensor | None:
        if name.endswith(CODEBOOK):
            return torch.from_numpy(seeded_uniform(codebook_seed, name, shape, 1.0))
        if name.endswith(".beta"):
            return 0.1 * u
        return u if 0 in shape else None

    return own


def volume_spec(size: tuple[int, int, int]) -> VolumeSpec:
    """CT-CLIP's volume in another size."""
    return VolumeSpec("SLP", (1.5, 0.75, 0.75), size, (-1000.0, 1000.0), (-1.0, 1.0), -1.0, Resampling.TORCH_TRILINEAR)


SMALL = Comparison("ct_clip_small", (30, 120, 120), 1, 6, token_step=36, code_step=1)
REAL = Comparison("ct_clip", (240, 480, 480), 4, 12, token_step=4608, code_step=7)
