"""The scan along given orders of positions, summed over directions: what every form computes and autograd sees.

An image stays where it is: pixels are vectors of channels, and a direction is an order in which positions are visited.
What a direction needs at a pixel (step size, b, c) is computed from that pixel alone, so that nothing is copied into
scanning order and back, as the published code does four times over.
"""

import importlib
import importlib.util
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any

import torch
from torch import Tensor


class ScanForm(StrEnum):
    """How a scan is computed."""

    COMPILED = "compiled"
    """Loops compiled by numba, for float32 and float64 on the CPU."""
    CHUNKED = "chunked"
    """torch operations, anywhere."""
    TRITON = "triton"
    """Kernels for CUDA; the state and the result are float32."""


_MODULES = {ScanForm.COMPILED: "compiled", ScanForm.CHUNKED: "chunked", ScanForm.TRITON: "triton_kernel"}


def ordered_scan(
    u: Tensor,
    delta: Tensor,
    rates: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor,
    bias: Tensor,
    orders: Tensor,
    *,
    softplus: bool = True,
    form: ScanForm | None = None,
) -> Tensor:
    """Selective scans of one line along K orders, summed. Differentiable in everything but the orders.

    Args:
        u: (B, L, D): D channels at L positions.
        delta: (K, B, L, D): step sizes of each direction at each position, before bias and softplus.
        rates: (K, N, D): negative where states decay.
        b: (K, B, L, N): how much of the input enters each state.
        c: (K, B, L, N): how much of each state is read out.
        skip: (K, D): what passes beside the state.
        bias: (K, D): added to delta.
        orders: (K, L) int64: the positions in the order in which direction k visits them, each once.
        softplus: Whether delta + bias goes through softplus.
        form: How to compute it; by default the fastest that is installed for the device and dtype.

    Returns:
        (B, L, D); float64 for float64 input, else float32.
    """
    if form is None:
        form = _best_form(u.device, u.dtype)
    y: Tensor = _OrderedScan.apply(u, delta, rates, b, c, skip, bias, orders, softplus, form)
    return y


class _OrderedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *tensors, orders, softplus, form = arguments
        ctx.save_for_backward(*tensors, orders)
        ctx.softplus, ctx.form = softplus, form
        forward, _ = _passes(form)
        y: Tensor = forward(*_prepared(tensors, form), orders, softplus)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        *tensors, orders = ctx.saved_tensors
        _, backward = _passes(ctx.form)
        prepared = _prepared(tensors, ctx.form)
        gradients = backward(*prepared, orders, ctx.softplus, dy.to(prepared[-1].dtype).contiguous())
        returned = [gradient.to(tensor.dtype) for gradient, tensor in zip(gradients, tensors, strict=True)]
        return (*returned, None, None, None)


def _prepared(tensors: list[Tensor], form: ScanForm) -> list[Tensor]:
    """Contiguous and of one dtype; the kernels for CUDA read half precision as it is and compute in float32."""
    if form is ScanForm.TRITON:
        return [tensor.contiguous() for tensor in tensors]
    dtype = torch.float64 if tensors[0].dtype == torch.float64 else torch.float32
    return [tensor.to(dtype).contiguous() for tensor in tensors]


def _best_form(device: torch.device, dtype: torch.dtype) -> ScanForm:
    if device.type == "cpu":
        return ScanForm.COMPILED if installed("numba") else ScanForm.CHUNKED
    if device.type == "cuda" and dtype != torch.float64 and installed("triton"):
        return ScanForm.TRITON
    return ScanForm.CHUNKED


@cache
def installed(package: str) -> bool:
    """Whether an optional package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def _passes(form: ScanForm) -> tuple[Callable[..., Tensor], Callable[..., tuple[Tensor, ...]]]:
    """The two passes of a form; imported late: numba takes a second, and neither package is installed everywhere."""
    module = importlib.import_module(f"slicebank_models.scan.{_MODULES[form]}")
    return module.forward, module.backward
