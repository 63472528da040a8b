"""Linear layers in bfloat16 inside networks whose forward pass is not ours.

A layer of timm or transformers may read `layer.weight` itself instead of calling the layer, and then the types of product and
weight would not agree. So only layers that a forward pass really calls are lowered: their input is cast on the way in, their
output to float32 on the way out. Convolutions, norms, attention's softmax and the residual stream stay as they are.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Smaller matrices (gates, relative positions) cost nothing and are sensitive.
LEAST_FEATURES = 64
# Where the whole signal passes: what embeds patches, and heads.
_KEPT = ("patch_embed", "patch_embeddings", "stem", "embeddings", "head", "pooler", "attn_pool")


def called_modules(network: nn.Module, run: Any) -> frozenset[str]:
    """Returns the names of all submodules that are called, not just read, while `run()` runs."""
    called: set[str] = set()
    hooks = [
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: called.add(name))
        for name, module in network.named_modules()
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return frozenset(called)


def linear_layers(network: nn.Module, called: frozenset[str]) -> Iterator[nn.Linear]:
    """Yields the called linear layers that are worth lowering."""
    for name, module in network.named_modules():
        if type(module) is not nn.Linear or name not in called:
            continue
        large = min(module.in_features, module.out_features) >= LEAST_FEATURES
        if large and not any(part.startswith(_KEPT) for part in name.split(".")):
            yield module


def lower_layer(layer: nn.Module, dtype: torch.dtype) -> None:
    """Converts one layer for good, with casts before and after it."""
    layer.to(dtype)
    layer.register_forward_pre_hook(lambda _layer, inputs: (inputs[0].to(dtype), *inputs[1:]))
    layer.register_forward_hook(_to_float32)


def _to_float32(_layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output.to(torch.float32)
