"""Weights by formula: the same bytes on every machine, for every version of torch and numpy.

For a tensor called `name` with n elements under the integer seed s:

1. key = the first 16 bytes, little-endian, of sha256(f"slicebank-weights-1:{s}:{name}").
2. r_0 ... r_(n-1) = the raw 64-bit output of Philox4x64-10 under that key, counter starting as numpy starts it.
3. u_i = floor(r_i / 2^40) / 2^23 - 1, in [-1, 1): exact in float32.
4. v_i = float32(bound * u_i), with bound = gain * sqrt(3 / fan_in) in float64 (variance gain^2 / fan_in).
5. value_i = v_i rounded to bfloat16 (nearest, ties to even) and kept as float32.

Step 5 makes both precisions use the same weights. Without it, rounding the weights shifts the features of all slices
alike: on a chest CT, mostly air, that shift was ten times the rest of the error. Elements are in C order. Only +, *, / and sqrt are used, which IEEE 754 rounds in one way. numpy promises the raw
streams of its bit generators, not those of its distributions, hence the raw draws.
"""

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GAIN = 1.0
# Residual branches: the last linear layer of each block starts small, so that a deep untrained network neither
# drowns its input under its own branches nor amplifies rounding (as in GPT-2 and fixup initialisations).
BRANCH_GAIN = 0.35
_BRANCH_ENDS = ("fc2.weight", "attn.proj.weight", "op.out_proj.weight", "conv3.weight")
# Matrices of several directions in one tensor: each is multiplied from its last axis.
_STACKED = ("op.x_proj_weight", "op.dt_projs_weight")
# Stems of convolutions and ReLU halve the variance at each layer unless weights make up for it (He et al. 2015); an
# image that arrives too small is drowned by the position embedding.
STEM_GAIN = math.sqrt(2.0)
_STEM = "patch_embed."
_DRAWN_AT_ONCE = 2**20  # bounds memory, which float64 in the large matrices of scan encoders would fill


def seeded_uniform(seed: int, name: str, shape: tuple[int, ...], bound: float) -> NDArray[np.float32]:
    """Returns the numbers of the formula above as an array of `shape`."""
    digest = hashlib.sha256(f"slicebank-weights-1:{seed}:{name}".encode()).digest()
    generator = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    values = np.empty(math.prod(shape), np.float32)
    for start in range(0, len(values), _DRAWN_AT_ONCE):
        part = values[start : start + _DRAWN_AT_ONCE]
        unit = (generator.random_raw(len(part)) >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0
        part[:] = _as_bfloat16((bound * unit).astype(np.float32))
    return values.reshape(shape)


def _as_bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounds finite float32 to the upper 16 of their bits, ties to even."""
    bits = values.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)).view(np.float32)


def seeded_tensor(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """Returns one tensor of an untrained encoder.

    Vectors are biases, norm scales or running statistics and start at 0, 1, 0 and 1; class tokens and layer scales
    start at 0 and 1 (a layer scale near 0 would switch its block off); everything else is drawn.
    """
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("bias", "beta", "running_mean", "cls_token"):
        return torch.zeros(shape)
    if len(shape) <= 1:
        return torch.ones(shape)
    fan_in = shape[-1] if name.endswith(_STACKED) else math.prod(shape[1:])
    gain = STEM_GAIN if name.startswith(_STEM) else BRANCH_GAIN if name.endswith(_BRANCH_ENDS) else GAIN
    return torch.from_numpy(seeded_uniform(seed, name, shape, gain * math.sqrt(3.0 / fan_in)))


def seeded_weights(seed: int, like: Mapping[str, Tensor], fixed: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """Returns tensors with the names and shapes of `like`; those named in `fixed` are taken as they are."""
    return {
        name: tensor.clone() if name in fixed else seeded_tensor(seed, name, tuple(tensor.shape))
        for name, tensor in like.items()
    }
