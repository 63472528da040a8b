"""The Triton kernels: by Triton's interpreter on the CPU, compiled for CUDA without a device, and on one where there is one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from slicebank_models.scan.ordered import installed

pytestmark = pytest.mark.skipif(not installed("triton"), reason="Triton comes with torch for CUDA only")

MOST_ERROR = 1e-3

# The interpreter joins a scan's elements one by one in Python: everything is as small as it can be with two chunks,
# channels and states that do not fill their tile, and two images.
INTERPRETED = """
import torch
from slicebank_models.scan import chunked, cross_orders, triton_kernel

triton_kernel.tile = lambda channels, states: {"STATES": states, "N": 2, "D": 4, "T": 8}
torch.manual_seed(0)
batch, height, width, channels = 1, 3, 4, 5
for states, dtype in ((2, torch.float16), (1, torch.bfloat16)):
    length = height * width
    tensors = [
        torch.randn(batch, length, channels).to(dtype), torch.randn(4, batch, length, channels).to(dtype),
        -torch.exp(torch.randn(4, states, channels)),
        torch.randn(4, batch, length, states).to(dtype), torch.randn(4, batch, length, states).to(dtype),
        torch.randn(4, channels), torch.randn(4, channels) - 1,
    ]
    single = [tensor.float() for tensor in tensors]
    orders, dy = cross_orders(height, width, torch.device("cpu")), torch.randn(batch, length, channels)
    found = [triton_kernel.forward(*tensors, orders, True), *triton_kernel.backward(*tensors, orders, True, dy)]
    expected = [chunked.forward(*single, orders, True), *chunked.backward(*single, orders, True, dy)]
    for own, right in zip(found, expected, strict=True):
        assert own.dtype == torch.float32 and own.shape == right.shape
        print(float((own - right).abs().max() / right.square().mean().sqrt()))
"""

COMPILED = """
import warnings
warnings.simplefilter("ignore")
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from slicebank_models.scan import triton_kernel

def types(kernel, constants):
    for name in kernel.arg_names:
        if name in constants:
            yield name, "constexpr"
        elif name.endswith("_at"):
            half = name in ("u_at", "delta_at", "b_at", "c_at")
            yield name, "*i64" if name == "orders_at" else "*bf16" if half else "*fp32"
        else:
            yield name, "i32"

for states in (16, 1):
    sizes = {**triton_kernel.tile(192, states), "SOFTPLUS": True}
    for kernel, constants in ((triton_kernel._forward, {**sizes, "KEEP": True}), (triton_kernel._backward, sizes)):
        source = ASTSource(kernel, dict(types(kernel, constants)), constexprs=constants)
        done = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
        print(len(done.asm["cubin"]))
"""


def in_a_process(code: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_the_kernels_are_right_by_the_interpreter() -> None:
    errors = in_a_process(INTERPRETED, TRITON_INTERPRET="1")
    assert len(errors) == 2 * 8  # outputs and seven gradients, twice
    assert max(map(float, errors)) < MOST_ERROR


@pytest.mark.slow
def test_the_kernels_compile_for_cuda() -> None:
    """Down to machine code for compute capability 9.0; takes no device."""
    sizes = in_a_process(COMPILED)
    assert len(sizes) == 4
    assert min(map(int, sizes)) > 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("states", [1, 16])
def test_the_kernels_are_right_on_a_device(states: int, dtype: torch.dtype) -> None:
    from slicebank_models.scan import chunked, cross_orders, triton_kernel

    torch.manual_seed(0)
    batch, side, channels = 2, 28, 192
    length = side * side
    shapes = [(batch, length, channels), (4, batch, length, channels), (4, states, channels)]
    shapes += [(4, batch, length, states)] * 2 + [(4, channels)] * 2
    tensors = [torch.randn(shape, device="cuda") for shape in shapes]
    tensors[2] = -torch.exp(tensors[2])
    tensors[6] -= 4
    halves = [tensor.to(dtype) if place in (0, 1, 3, 4) else tensor for place, tensor in enumerate(tensors)]
    single = [tensor.float() for tensor in halves]
    orders, dy = cross_orders(side, side, torch.device("cuda")), torch.randn(batch, length, channels, device="cuda")
    found = [triton_kernel.forward(*halves, orders, True), *triton_kernel.backward(*halves, orders, True, dy)]
    expected = [chunked.forward(*single, orders, True), *chunked.backward(*single, orders, True, dy)]
    for own, right in zip(found, expected, strict=True):
        assert float((own - right).abs().max() / right.square().mean().sqrt()) < MOST_ERROR
