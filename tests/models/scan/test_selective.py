"""Every form of the scan against the step-by-step reference, and that against a closed form."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch

from slicebank_models.scan import ScanForm, cross_orders, cross_scan, ordered_scan, selective_scan
from slicebank_models.scan.ordered import installed
from slicebank_models.scan.reference import cross_scan_reference, selective_scan_reference
from tests.models.scan.inputs import channels_last, cross_arguments, scan_arguments

FORMS = [ScanForm.CHUNKED, *([ScanForm.COMPILED] if installed("numba") else [])]
pytestmark = pytest.mark.parametrize("form", FORMS)


def test_the_reference_is_the_closed_form(form: ScanForm) -> None:
    """Constant inputs, one state: a geometric series."""
    step, rate, length = 0.3, -0.7, 20
    ones = torch.ones(1, 1, length, dtype=torch.float64)
    raw = ones * math.log(math.expm1(step))  # the inverse of softplus
    b, c = torch.full((1, 1, 1, length), 1.5).double(), torch.full((1, 1, 1, length), 0.25).double()
    rates, through = torch.tensor([[rate]], dtype=torch.float64), torch.tensor([2.0]).double()
    decay = math.exp(step * rate)
    expected = [2.0 + 0.25 * 1.5 * step * (1 - decay ** (t + 1)) / (1 - decay) for t in range(length)]
    for scan in (selective_scan_reference, lambda *args: selective_scan(*args, form=form)):
        found = scan(ones, raw, rates, b, c, through)
        torch.testing.assert_close(found[0, 0], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("length", "states"), [(1, 1), (2, 4), (33, 6), (65, 16)])
def test_outputs_and_gradients_are_the_references(form: ScanForm, length: int, states: int) -> None:
    arguments = [tensor.requires_grad_() for tensor in scan_arguments(length=length, states=states)]
    expected = selective_scan_reference(*arguments)
    asked = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, arguments, asked)
    found = selective_scan(*arguments, form=form)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for gradient, own in zip(torch.autograd.grad(found, arguments, asked), wanted, strict=True):
        torch.testing.assert_close(gradient, own, rtol=1e-10, atol=1e-12)
    single = [tensor.detach().float().requires_grad_() for tensor in arguments]
    found = selective_scan(*single, form=form)
    assert found.dtype == torch.float32
    assert relative(found, expected) < 1e-5
    for gradient, own in zip(torch.autograd.grad(found, single, asked.float()), wanted, strict=True):
        assert relative(gradient, own) < 1e-4


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference over the root mean square; of gradients that are all 0, the largest difference."""
    scale = float(expected.detach().square().mean().sqrt())
    return float((found.detach() - expected.detach()).abs().max()) / (scale or 1.0)


def test_gradients_are_those_of_finite_differences(form: ScanForm) -> None:
    image, *rest = channels_last(cross_arguments(batch=1, height=2, width=3, channels=2, states=2))
    arguments = [tensor.contiguous().requires_grad_() for tensor in (image, *rest)]
    assert torch.autograd.gradcheck(lambda *args: cross_scan(*args, form=form), arguments)


def test_options_may_be_left_out(form: ScanForm) -> None:
    u, delta, *rest = scan_arguments()
    positive = delta.abs() * 0.1
    found = selective_scan(u, positive, *rest[:3], delta_softplus=False, form=form)
    expected = selective_scan_reference(u, positive, *rest[:3], delta_softplus=False)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("height", "width"), [(5, 7), (8, 8), (1, 9)])
def test_the_cross_scan_goes_row_by_row_column_by_column_and_both_backwards(
    form: ScanForm, height: int, width: int
) -> None:
    arguments = cross_arguments(height=height, width=width)
    found = cross_scan(*channels_last(arguments), form=form)
    torch.testing.assert_close(found.permute(0, 3, 1, 2), cross_scan_reference(*arguments))


@cache
def whole_stage(states: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """56 x 56 tokens of 4 channels: as long as the first stage's lines, and quick enough one position after the other."""
    arguments = cross_arguments(batch=1, height=56, width=56, channels=4, states=states)
    arguments[-1] -= 3  # steps of 0.01: states that last for hundreds of positions
    return arguments, cross_scan_reference(*arguments)


@pytest.mark.parametrize("states", [1, 16])
def test_a_whole_stage_in_float32_is_within_1e_4(form: ScanForm, states: int) -> None:
    arguments, expected = whole_stage(states)
    found = cross_scan(*channels_last([tensor.float() for tensor in arguments]), form=form)
    assert relative(found.permute(0, 3, 1, 2), expected) < 1e-4


def test_extreme_steps_stay_finite(form: ScanForm) -> None:
    u, delta, *rest = scan_arguments(dtype=torch.float32)
    delta[..., ::2], delta[..., 1::2] = 300.0, -300.0
    found = selective_scan(u, delta, *rest, form=form)
    expected = selective_scan_reference(u.double(), delta.double(), *(tensor.double() for tensor in rest))
    assert relative(found, expected) < 1e-5


def test_half_precision_is_computed_in_float32(form: ScanForm) -> None:
    halves = [tensor.bfloat16().requires_grad_() for tensor in scan_arguments(dtype=torch.float32)]
    found = selective_scan(*halves, form=form)
    assert found.dtype == torch.float32
    assert torch.equal(found, selective_scan(*(tensor.float() for tensor in halves), form=form))
    found.sum().backward()
    assert {tensor.grad.dtype for tensor in halves if tensor.grad is not None} == {torch.bfloat16}


def test_threads_change_nothing(form: ScanForm) -> None:
    """Neither torch's own number of threads nor callers side by side."""
    arguments = channels_last(cross_arguments(batch=3, channels=130, dtype=torch.float32))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = cross_scan(*arguments, form=form)
        torch.set_num_threads(3)
        torch.testing.assert_close(cross_scan(*arguments, form=form), expected, rtol=1e-6, atol=1e-6)
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: cross_scan(*arguments, form=form), range(8)):
                torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    finally:
        torch.set_num_threads(before)


def test_an_image_does_not_depend_on_the_others(form: ScanForm) -> None:
    image, delta, rates, b, c, through, bias = channels_last(cross_arguments(dtype=torch.float32))
    together = cross_scan(image, delta, rates, b, c, through, bias, form=form)
    alone = cross_scan(image[1:], delta[:, 1:], rates, b[:, 1:], c[:, 1:], through, bias, form=form)
    torch.testing.assert_close(alone, together[1:], rtol=1e-6, atol=1e-6)


def test_it_runs_in_inference_mode_and_trains_afterwards(form: ScanForm) -> None:
    cross_orders.cache_clear()
    arguments = channels_last(cross_arguments(height=3, width=11))
    with torch.inference_mode():
        expected = cross_scan(*arguments, form=form)
    found = cross_scan(*(tensor.requires_grad_() for tensor in arguments), form=form)
    torch.testing.assert_close(found, expected)
    found.sum().backward()


def test_directions_add_up(form: ScanForm) -> None:
    image, *rest = channels_last(cross_arguments())
    orders = cross_orders(5, 7, image.device)
    line = image.reshape(2, 35, -1)
    delta, rates, b, c, through, bias = rest
    together = ordered_scan(line, delta, rates.mT, b, c, through, bias, orders, form=form)
    apart = [
        ordered_scan(
            line,
            delta[k : k + 1],
            rates.mT[k : k + 1],
            b[k : k + 1],
            c[k : k + 1],
            through[k : k + 1],
            bias[k : k + 1],
            orders[k : k + 1],
            form=form,
        )
        for k in range(4)
    ]
    torch.testing.assert_close(together, sum(apart))
