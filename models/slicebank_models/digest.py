"""The identity of a set of weights."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Returns sha256 hex over tensors sorted by name: name, dtype, shape and bytes (little-endian, C order).

    The container does not enter: one set of tensors has one digest, from .pth as from .safetensors.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu").contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        digest.update(f"{name}\0{dtype}\0{','.join(map(str, tensor.shape))}\0".encode())
        data = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(data.data)
    return digest.hexdigest()
