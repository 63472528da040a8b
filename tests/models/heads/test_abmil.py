import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.packed import bag_softmax, bag_sum
from slicebank_models.heads.scan import ScanHead

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=6)


@settings(deadline=None, max_examples=50)
@given(LENGTHS, st.integers(0, 2**31))
def test_packed_sums_and_softmaxes_are_those_of_each_bag(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 50 * torch.randn(sum(lengths), generator=generator, dtype=torch.float64)
    rows = torch.randn(sum(lengths), 3, generator=generator, dtype=torch.float64)
    softmax, sums = bag_softmax(logits, torch.tensor(lengths)), bag_sum(rows, torch.tensor(lengths))
    for at, (part, part_rows, found) in enumerate(
        zip(logits.split(lengths), rows.split(lengths), softmax.split(lengths), strict=True)
    ):
        torch.testing.assert_close(found, torch.softmax(part, dim=0))
        torch.testing.assert_close(sums[at], part_rows.sum(dim=0))


def test_logits_far_apart_in_two_bags_leave_each_its_own_softmax() -> None:
    found = bag_softmax(torch.tensor([0.0, 1.0, 2000.0, 2001.0, -9e9]), torch.tensor([2, 2, 1]))
    expected = torch.softmax(torch.tensor([0.0, 1.0]), dim=0).tolist()
    assert found.tolist() == pytest.approx([*expected, *expected, 1])


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.stack([x * y for x, y in zip(a, b, strict=True)]).sum()


def linear(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([dot(row, x) + shift for row, shift in zip(layer.weight, layer.bias, strict=True)])


def equation_3(head: AttentionHead, rows: torch.Tensor, *, gated: bool = False) -> torch.Tensor:
    """The published pooling and classifier for one bag: row by row, unit by unit."""
    hidden, powers = [], []
    for row in rows:
        h = torch.stack([unit if unit > 0 else unit * 0 for unit in linear(head.encoder[0], row)])
        if gated:
            content = torch.tanh(linear(head.attention.content[0], h))
            gate = 1 / (1 + torch.exp(-linear(head.attention.gate[0], h)))
            score = linear(head.attention.score, content * gate)
        else:
            score = linear(head.attention[2], torch.tanh(linear(head.attention[0], h)))
        hidden.append(h)
        powers.append(torch.exp(score[0]))
    total = sum(powers)
    z = sum(power / total * h for power, h in zip(powers, hidden, strict=True))
    mean = sum(z) / len(z)
    deviation = torch.sqrt(sum((unit - mean) ** 2 for unit in z) / len(z) + 1e-5)
    norm, first, last = head.classifier[0], head.classifier[1], head.classifier[4]
    inner = linear(first, (z - mean) / deviation * norm.weight + norm.bias)
    return linear(last, inner / (1 + torch.exp(-inner)))


@pytest.mark.parametrize("gated", [False, True])
@settings(deadline=None, max_examples=8)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 2**31))
def test_bags_of_any_length_are_equation_3_in_values_and_gradients(gated: bool, lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    head = AttentionHead(6, 3, width=8, gated=gated).double().eval()
    rows = torch.randn(sum(lengths), 6, dtype=torch.float64, requires_grad=True)
    outputs, attention, loss = head(rows, torch.tensor(lengths))
    expected = torch.stack([equation_3(head, bag, gated=gated) for bag in rows.split(lengths)])
    assert loss is None
    assert attention.shape == (sum(lengths),)
    assert outputs.dtype == torch.float64
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)
    wanted = [rows, *head.parameters()]
    found = torch.autograd.grad(outputs.square().sum(), wanted)
    for gradient, by_hand in zip(found, torch.autograd.grad(expected.square().sum(), wanted), strict=True):
        torch.testing.assert_close(gradient, by_hand, rtol=1e-10, atol=1e-10)


def test_the_order_of_rows_does_not_matter() -> None:
    torch.manual_seed(0)
    head = AttentionHead(4, 1).double().eval()
    rows = torch.randn(6, 4, dtype=torch.float64)
    order = torch.from_numpy(np.random.default_rng(0).permutation(6))
    with torch.inference_mode():
        torch.testing.assert_close(head(rows[order], torch.tensor([6]))[0], head(rows, torch.tensor([6]))[0])


def test_layers_are_the_published_ones() -> None:
    head = AttentionHead(576, 8)
    shapes = {name: tuple(p.shape) for name, p in head.named_parameters() if "weight" in name}
    assert shapes == {
        "encoder.0.weight": (256, 576),
        "attention.0.weight": (256, 256),
        "attention.2.weight": (1, 256),
        "classifier.0.weight": (256,),
        "classifier.1.weight": (256, 256),
        "classifier.4.weight": (8, 256),
    }
    assert [type(layer) for layer in head.classifier] == [nn.LayerNorm, nn.Linear, nn.Dropout, nn.SiLU, nn.Linear]


def test_a_scan_head_reads_one_row_a_scan() -> None:
    torch.manual_seed(0)
    head = ScanHead(4, 2).eval()
    rows = torch.randn(3, 4)
    outputs, attention, _ = head(rows, torch.ones(3, dtype=torch.int64))
    assert outputs.shape == (3, 2)
    assert attention.tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="one row"):
        head(rows, torch.tensor([3]))
