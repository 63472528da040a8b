"""The scan as compiled loops: positions in order, channels side by side in vector registers. Needs numba.

The state of all channels stays in the processor's cache, and nothing of the size positions x channels x states is ever
written. Loops run over channels innermost, so that they vectorise for any number of states, one included. Arrays are
those of `ordered.ordered_scan`, all C-contiguous and of one dtype, float32 or float64. The functions hold no lock and
start no threads; each call handles one image and a range of its channels.

numba caches the compiled code beside this file, or in the user's cache folder where that is read-only. It looks at the
date of this file only: after a change to `fast_exp.py`, save this one too.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from slicebank_models.scan.fast_exp import FUSED, LOG2_E, exp2, log1p_unit

CHUNK = (
    32  # positions between the states that the backward pass keeps: their count and the chunk's own states stay small
)
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": FUSED}
# Sums over channels may be taken in any order: they are gradients, not features.
_SUMMING: dict[str, Any] = {**_OPTIONS, "fastmath": FUSED | {"reassoc", "nsz"}}


def _cached(options: dict[str, Any]) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with its cache on disk, and without where no folder can be written."""

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # "cannot cache function: no locator available"
            return numba.njit(**options)(function)

    return decorate


_inner: Callable[[Callable[..., Any]], Any] = numba.njit(**_OPTIONS)
_summing: Callable[[Callable[..., Any]], Any] = numba.njit(**_SUMMING)


@_inner
def _step_sizes(raw: Any, bias: Any, log2_e: Any, softplus: Any, steps: Any) -> None:
    """Steps = raw + bias, through softplus if wanted: max(s, 0) + log(1 + e^-|s|), which neither over- nor underflows."""
    zero = log2_e - log2_e
    for d in range(steps.size):
        steps[d] = raw[d] + bias[d]
    if softplus:
        for d in range(steps.size):
            steps[d] = max(steps[d], zero) + log1p_unit(exp2(-abs(steps[d]) * log2_e))


@_inner
def _advance(state: Any, rates: Any, steps: Any, driven: Any, b: Any) -> None:
    """Sets state[n] to 2^(steps rates[n]) state[n] + b[n] driven, without reading the state out."""
    for n in range(b.size):
        b_n = b[n]
        for d in range(steps.size):
            state[n, d] = exp2(steps[d] * rates[n, d]) * state[n, d] + b_n * driven[d]


@_inner
def _advance_one(state: Any, rates: Any, steps: Any, driven: Any, b: Any, c: Any, out: Any, n: Any) -> None:
    """One state of every channel: advanced, then added to `out` by its weight."""
    b_n, c_n = b[n], c[n]
    for d in range(steps.size):
        advanced = exp2(steps[d] * rates[n, d]) * state[n, d] + b_n * driven[d]
        state[n, d] = advanced
        out[d] += c_n * advanced


@_inner
def _advance_four(state: Any, rates: Any, steps: Any, driven: Any, b: Any, c: Any, out: Any, n: Any) -> None:
    """States n to n + 3 together, so that steps, driven and out are read once for all."""
    b_0, b_1, b_2, b_3 = b[n], b[n + 1], b[n + 2], b[n + 3]
    c_0, c_1, c_2, c_3 = c[n], c[n + 1], c[n + 2], c[n + 3]
    state_0, state_1, state_2, state_3 = state[n], state[n + 1], state[n + 2], state[n + 3]
    rates_0, rates_1, rates_2, rates_3 = rates[n], rates[n + 1], rates[n + 2], rates[n + 3]
    for d in range(steps.size):
        step, push = steps[d], driven[d]
        h_0 = exp2(step * rates_0[d]) * state_0[d] + b_0 * push
        h_1 = exp2(step * rates_1[d]) * state_1[d] + b_1 * push
        h_2 = exp2(step * rates_2[d]) * state_2[d] + b_2 * push
        h_3 = exp2(step * rates_3[d]) * state_3[d] + b_3 * push
        state_0[d], state_1[d], state_2[d], state_3[d] = h_0, h_1, h_2, h_3
        out[d] += c_0 * h_0 + c_1 * h_1 + c_2 * h_2 + c_3 * h_3


@_inner
def _scaled(rates: Any, scale: Any, low: Any, high: Any) -> Any:
    """Channels low to high of (N, D), times a number, in memory of their own."""
    states = rates.shape[0]
    scaled = np.empty((states, high - low), rates.dtype)
    for n in range(states):
        for d in range(high - low):
            scaled[n, d] = rates[n, low + d] * scale
    return scaled


@_cached(_OPTIONS)
def forward(
    u: Any, delta: Any, rates: Any, b: Any, c: Any, skip: Any, bias: Any, orders: Any, softplus: Any,
    image: Any, low: Any, high: Any, y: Any,
) -> None:  # fmt: skip
    """Writes channels low to high of y[image], (L, D): all directions summed."""
    log2_e = u.dtype.type(LOG2_E)
    width, states = high - low, rates.shape[1]
    state = np.empty((states, width), u.dtype)
    steps, driven, out = np.empty(width, u.dtype), np.empty(width, u.dtype), np.empty(width, u.dtype)
    y[image, :, low:high] = 0
    for k in range(orders.shape[0]):
        scaled = _scaled(rates[k], log2_e, low, high)
        state[:] = 0
        through, offset = skip[k, low:high], bias[k, low:high]
        for position in orders[k]:
            _step_sizes(delta[k, image, position, low:high], offset, log2_e, softplus, steps)
            x = u[image, position, low:high]
            for d in range(width):
                driven[d] = steps[d] * x[d]
                out[d] = through[d] * x[d]
            b_at, c_at = b[k, image, position], c[k, image, position]
            n = 0
            while n + 4 <= states:
                _advance_four(state, scaled, steps, driven, b_at, c_at, out, n)
                n += 4
            while n < states:
                _advance_one(state, scaled, steps, driven, b_at, c_at, out, n)
                n += 1
            total = y[image, position, low:high]
            for d in range(width):
                total[d] += out[d]


@_summing
def _dot(left: Any, right: Any) -> Any:
    total = left[0] * right[0]
    for d in range(1, left.size):
        total += left[d] * right[d]
    return total


@_inner
def _retreat(
    pull: Any, before: Any, rates: Any, steps: Any, x: Any, dy: Any, b_n: Any, c_n: Any, ln_2: Any,
    total: Any, d_steps: Any, d_driven: Any, d_rates: Any,
) -> None:  # fmt: skip
    """One state back over one position, for every channel.

    `pull` holds what later positions ask of the state after this one, and leaves with what this one asks of the state
    before it; `total` gets the gradient of the state itself. Rates are in powers of two, so that d_rates and the part
    of d_steps that comes through them carry the factor ln 2.
    """
    for d in range(steps.size):
        asked = pull[d] + c_n * dy[d]
        passed = exp2(steps[d] * rates[d]) * asked
        exponent = passed * before[d] * ln_2
        total[d] = asked
        pull[d] = passed
        d_driven[d] += asked * b_n
        d_steps[d] += exponent * rates[d] + asked * b_n * x[d]
        d_rates[d] += exponent * steps[d]


@_cached(_OPTIONS)
def backward(
    u: Any, delta: Any, rates: Any, b: Any, c: Any, skip: Any, bias: Any, orders: Any, softplus: Any, dy: Any,
    image: Any, low: Any, high: Any, du: Any, d_delta: Any, d_rates: Any, d_b: Any, d_c: Any,
) -> None:  # fmt: skip
    """Gradients of one image's channels: du (B, L, D), d_delta (K, B, L, D), d_rates (B, K, N, D), d_b, d_c (K, B, L, N).

    Adds to du, d_b and d_c and to d_rates[image]. States are recomputed: once to keep every CHUNK-th, then chunk by chunk
    from the last to the first.
    """
    log2_e = u.dtype.type(LOG2_E)
    one = u.dtype.type(1)
    ln_2 = one / log2_e
    width, states, length = high - low, rates.shape[1], orders.shape[1]
    chunks = (length + CHUNK - 1) // CHUNK
    starts = np.empty((chunks, states, width), u.dtype)
    kept = np.empty((CHUNK + 1, states, width), u.dtype)
    pull = np.empty((states, width), u.dtype)
    total, steps, driven = np.empty(width, u.dtype), np.empty(width, u.dtype), np.empty(width, u.dtype)
    d_steps, d_driven = np.empty(width, u.dtype), np.empty(width, u.dtype)
    d_scaled = np.empty((states, width), u.dtype)
    for k in range(orders.shape[0]):
        scaled = _scaled(rates[k], log2_e, low, high)
        through, offset = skip[k, low:high], bias[k, low:high]
        d_scaled[:] = 0
        state = kept[0]
        state[:] = 0
        for at in range(length):
            if at % CHUNK == 0:
                starts[at // CHUNK] = state
            position = orders[k, at]
            _step_sizes(delta[k, image, position, low:high], offset, log2_e, softplus, steps)
            x = u[image, position, low:high]
            for d in range(width):
                driven[d] = steps[d] * x[d]
            _advance(state, scaled, steps, driven, b[k, image, position])
        pull[:] = 0
        for chunk in range(chunks - 1, -1, -1):
            first = chunk * CHUNK
            last = min(first + CHUNK, length)
            kept[0] = starts[chunk]
            for at in range(first, last):
                position = orders[k, at]
                _step_sizes(delta[k, image, position, low:high], offset, log2_e, softplus, steps)
                x = u[image, position, low:high]
                for d in range(width):
                    driven[d] = steps[d] * x[d]
                kept[at - first + 1] = kept[at - first]
                _advance(kept[at - first + 1], scaled, steps, driven, b[k, image, position])
            for at in range(last - 1, first - 1, -1):
                position = orders[k, at]
                raw = delta[k, image, position, low:high]
                _step_sizes(raw, offset, log2_e, softplus, steps)
                x, asked = u[image, position, low:high], dy[image, position, low:high]
                for d in range(width):
                    driven[d] = steps[d] * x[d]
                    d_steps[d] = 0
                    d_driven[d] = 0
                b_at, c_at = b[k, image, position], c[k, image, position]
                before, after = kept[at - first], kept[at - first + 1]
                for n in range(states):
                    _retreat(
                        pull[n], before[n], scaled[n], steps, x, asked, b_at[n], c_at[n], ln_2,
                        total, d_steps, d_driven, d_scaled[n],
                    )  # fmt: skip
                    d_b[k, image, position, n] += _dot(total, driven)
                    d_c[k, image, position, n] += _dot(after[n], asked)
                if softplus:
                    for d in range(width):
                        d_steps[d] /= one + exp2(-(raw[d] + offset[d]) * log2_e)
                to_u, to_delta = du[image, position, low:high], d_delta[k, image, position, low:high]
                for d in range(width):
                    to_u[d] += d_driven[d] * steps[d] + through[d] * asked[d]
                    to_delta[d] = d_steps[d]
        # d_scaled is with respect to rates log2(e).
        for n in range(states):
            for d in range(width):
                d_rates[image, k, n, low + d] += d_scaled[n, d] * log2_e
