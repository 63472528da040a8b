"""Exponentials that LLVM can turn into vector instructions, for the compiled scan. Needs numba.

numba's own float32 `exp` calls the C library once a number. Here e^x is 2^(x log2 e), split into a whole power, which is
bits of the exponent, and a polynomial; log(1 + t) on [0, 1] is a polynomial too. Both polynomials are near-minimax fits
in float64 (iteratively reweighted least squares), exact at 0; the relative errors are 2e-7 in float32, most of it
rounding. Float64 takes the C library's functions, which gradient checks need and speed does not.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

LOG2_E = math.log2(math.e)
_LOWEST, _HIGHEST = np.float32(-126.0), np.float32(127.0)  # powers of two that are normal float32 numbers
_E1, _E2, _E3, _E4, _E5 = (
    np.float32(c)
    for c in (0.6931469775964685, 0.24022242081105014, 0.05550733745336818, 0.009671512917319842, 0.0013264727391461555)
)
_L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9 = (
    np.float32(c)
    for c in (
        0.9999999698748324,
        -0.4999949311602855,
        0.3331909644173582,
        -0.24842979770979481,
        0.19105998151396586,
        -0.13663228647588976,
        0.0782257579999731,
        -0.029505122782400132,
        0.0052326657572720845,
    )
)
_ONE = np.float32(1.0)
# Multiplies and adds may be fused; sums keep their order, so that features are the same whatever the vector width.
FUSED = {"contract"}

_Decorator = Callable[[Callable[..., Any]], Any]
_intrinsic: _Decorator = intrinsic
_get_function: Callable[..., Any] = cgutils.get_or_insert_function
_inner: _Decorator = numba.njit(fastmath=FUSED, nogil=True, error_model="numpy")


@_intrinsic
def _whole_power(typing_context: Any, exponent: Any) -> Any:
    """2^exponent for a whole float32 from -126 to 127, by writing the exponent's bits."""
    del typing_context
    if exponent != types.float32:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        whole = builder.fptosi(arguments[0], ir.IntType(32))
        biased = builder.add(whole, ir.IntType(32)(127))
        return builder.bitcast(builder.shl(biased, ir.IntType(32)(23)), ir.FloatType())

    return types.float32(types.float32), generate


@_intrinsic
def _round(typing_context: Any, value: Any) -> Any:
    """The nearest whole number, as LLVM's `rint` gives it (one vector instruction)."""
    del typing_context
    if value != types.float32:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
        rint = _get_function(builder.module, kind, "llvm.rint.f32")
        return builder.call(rint, arguments)

    return types.float32(types.float32), generate


@_inner
def _exp2_single(x: Any) -> Any:
    x = min(max(x, _LOWEST), _HIGHEST)
    whole = _round(x)
    f = x - whole
    return _whole_power(whole) * (_ONE + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * _E5)))))


@_inner
def _log1p_single(t: Any) -> Any:
    high = _L5 + t * (_L6 + t * (_L7 + t * (_L8 + t * _L9)))
    return t * (_L1 + t * (_L2 + t * (_L3 + t * (_L4 + t * high))))


def exp2(x: Any) -> Any:
    """2^x of a float32 or float64, in compiled code only; float32 is held within the normal numbers."""
    raise NotImplementedError


def log1p_unit(t: Any) -> Any:
    """log(1 + t) for t in [0, 1], in compiled code only."""
    raise NotImplementedError


@overload(exp2)
def _exp2(x: Any) -> Any:
    def single(x: Any) -> Any:
        return _exp2_single(x)

    def double(x: Any) -> Any:
        return 2.0**x

    return single if x == types.float32 else double


@overload(log1p_unit)
def _log1p_unit(t: Any) -> Any:
    def single(t: Any) -> Any:
        return _log1p_single(t)

    def double(t: Any) -> Any:
        return math.log1p(t)

    return single if t == types.float32 else double
