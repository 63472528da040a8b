"""Epsilons of norms, held one by one against the official code.

A comparison of features sees an epsilon only where little variance reaches a norm: the first one or two of a network
(`tests/models/parity/faint_stem.py`). One that differed in a later norm, ten times over, would pass it at 1e-4. Sources, at the
commits that `tests/models/parity/goldens` name:

| architecture | epsilon | where the official code says so |
|---|---|---|
| ViT of MoCo v3 | 1e-6 | `vits.py`: norm_layer=partial(nn.LayerNorm, eps=1e-6); torch's 1e-5 in the stem's BatchNorm |
| MambaOut | 1e-6 | `models/mambaout.py`: norm_layer and output_norm |
| VMamba | 1e-5 | `models/vmamba.py`: nn.LayerNorm and LayerNorm2d as torch makes them |
| BiomedCLIP | 1e-6 | timm's `VisionTransformer`, which open_clip builds |
| SAM 2 | 1e-6 | `backbones/hieradet.py`: partial(nn.LayerNorm, eps=1e-6) |
| DINOv2 | 1e-6 | `models/vision_transformer.py`: partial(nn.LayerNorm, eps=1e-6) |
| CT-CLIP | 1e-5 | `attention.py` and `ctvit.py`: F.layer_norm and nn.LayerNorm as torch makes them |
| Merlin | 1e-5 | `inflate.py`: BatchNorm3d of torch |
| CT-FM | 1e-5 | MONAI's "batch": BatchNorm3d of torch |
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from slicebank_models.builtin import BUILTIN_CARDS
from slicebank_models.encoders.build import family_of
from slicebank_models.encoders.ct_vit import DIM, Norm

LAYER_NORMS = {
    "vit_small": 1e-6,
    "vit_conv_small": 1e-6,
    "mambaout_femto": 1e-6,
    "mambaout_small_rw": 1e-6,
    "vmamba_default": 1e-5,
    "vmamba_tiny": 1e-5,
    "biomedclip": 1e-6,
    "sam2_hiera_tiny": 1e-6,
    "dinov2_vits14": 1e-6,
    "ct_clip": 1e-5,
}
BATCH_NORMS = {"vit_conv_small": 1e-5, "merlin": 1e-5, "ct_fm": 1e-5}


def layers(architecture: str) -> list[nn.Module]:
    card = next(card for card in BUILTIN_CARDS if card.architecture == architecture)
    with torch.device("meta"):
        return list(family_of(architecture).build(card).modules())


@pytest.mark.parametrize("architecture", LAYER_NORMS)
def test_every_layer_norm_has_the_official_epsilon(architecture: str) -> None:
    epsilons = {layer.eps for layer in layers(architecture) if isinstance(layer, nn.LayerNorm)}
    assert epsilons == {LAYER_NORMS[architecture]}


@pytest.mark.parametrize("architecture", sorted({*LAYER_NORMS, *BATCH_NORMS}))
def test_every_batch_norm_has_the_official_epsilon(architecture: str) -> None:
    epsilons = {layer.eps for layer in layers(architecture) if isinstance(layer, _BatchNorm)}
    assert epsilons == ({BATCH_NORMS[architecture]} if architecture in BATCH_NORMS else set())


def test_ct_clips_own_norm_has_torchs_epsilon() -> None:
    x = torch.cat([torch.full((DIM // 2,), 0.003), torch.full((DIM // 2,), -0.003)])  # variance 9e-6
    assert torch.allclose(Norm()(x), x / (9e-6 + 1e-5) ** 0.5, rtol=1e-5)
