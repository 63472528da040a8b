"""What a network begins with: the random weights that its own authors train from, or a file.

timm's networks, MambaOut among them, draw theirs when they are built (truncated normal, sd 0.02, for MambaOut). The vision
transformers of MoCo v3 and VMamba are drawn here as their repositories draw them. Everything comes from torch's generator
of the CPU. Not to be confused with `encoders/seeding.py`, whose weights are the same bytes on every machine but are not
meant to be trained.
"""

import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from slicebank_models.checkpoints import map_checkpoint
from slicebank_models.encoders import vit_moco, vmamba
from slicebank_models.encoders.build import family_of
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.errors import BadPretrainingSetting, CheckpointError

LINEAR_SD = 0.02  # of VMamba's linear layers
CLASS_TOKEN_SD = 1e-6


@torch.no_grad()
def draw_weights(encoder: Encoder) -> None:
    """Draws an encoder's first weights; encoders of other families keep those that they were built with."""
    if isinstance(encoder, vit_moco.MoCoViTEncoder):
        _draw_vit(encoder.trunk)
    elif isinstance(encoder, vmamba.VMambaEncoder):
        _draw_vssm(encoder.trunk)


def load_weights(encoder: Encoder, architecture: str, path: Path) -> None:
    """Puts a file's weights in place: plain, converted, or of a MoCo v3 training file, whose base encoder is taken.

    Raises:
        BadPretrainingSetting: There is no such file, or it is of another architecture; says which tensors differ.
    """
    if not path.exists():
        raise BadPretrainingSetting(f"model.initial_weights: there is no file {path.name!r:.120}.")
    rules = partial(family_of(architecture).key_rules, architecture)
    try:
        mapped = map_checkpoint(path, encoder.weights(), rules)
    except CheckpointError as error:
        raise BadPretrainingSetting(f"model.initial_weights: {error}") from error
    encoder.set_weights(mapped.tensors)


def _draw_vit(trunk: vit_moco.MoCoViT) -> None:
    """As `VisionTransformerMoCo` of github.com/facebookresearch/moco-v3; convolutions of the stem keep torch's own."""
    for name, layer in trunk.named_modules():
        if isinstance(layer, nn.Linear):
            # Queries, keys and values are three layers in one.
            outputs = layer.out_features // 3 if name.endswith("qkv") else layer.out_features
            _glorot(layer, layer.in_features + outputs)
    nn.init.normal_(trunk.cls_token, std=CLASS_TOKEN_SD)
    projection = trunk.patch_embed.proj
    if isinstance(projection, nn.Conv2d):
        _glorot(projection, projection.weight[0].numel() + projection.out_channels)


def _glorot(layer: nn.Linear | nn.Conv2d, fans: int) -> None:
    bound = math.sqrt(6.0 / fans)
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _draw_vssm(trunk: vmamba.VSSM) -> None:
    """As `VSSM` of github.com/MzeroMiko/VMamba; rates and skips are right from the beginning, convolutions keep torch's own."""
    for layer in trunk.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=LINEAR_SD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, vmamba.SelectiveScan2d):
            # Layers that the published code draws as torch does, then stacks.
            reach = 1.0 / math.sqrt(layer.inner)
            nn.init.uniform_(layer.x_proj_weight, -reach, reach)
            spread = layer.rank**-0.5
            nn.init.uniform_(layer.dt_projs_weight, -spread, spread)
            layer.dt_projs_bias.copy_(_step_biases(layer.dt_projs_bias.shape))


def _step_biases(shape: torch.Size) -> Tensor:
    """Biases whose softplus is a step size, log-uniform over vmamba.STEP_RANGE."""
    low, high = (math.log(step) for step in vmamba.STEP_RANGE)
    steps = torch.exp(torch.rand(shape) * (high - low) + low)
    return steps + torch.log(-torch.expm1(-steps))
