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


def equation_3(head: AttentionHead, rows: torch.Tensor) -> torch.Tensor:
    """The published pooling for one bag, spelled out row by row."""
    hidden = [torch.relu(head.encoder[0].weight @ row + head.encoder[0].bias) for row in rows]
    v, w = head.attention[0], head.attention[2]
    scores = torch.stack([(w.weight @ torch.tanh(v.weight @ h + v.bias) + w.bias)[0] for h in hidden])
    weights = scores.exp() / scores.exp().sum()
    pooled = sum(a * h for a, h in zip(weights, hidden, strict=True))
    normed = (pooled - pooled.mean()) / (pooled.var(correction=0) + 1e-5).sqrt()
    norm, first, last = head.classifier[0], head.classifier[1], head.classifier[4]
    inner = first.weight @ (normed * norm.weight + norm.bias) + first.bias
    return last.weight @ (inner * torch.sigmoid(inner)) + last.bias


def test_bags_of_any_length_answer_as_alone_and_as_published() -> None:
    torch.manual_seed(0)
    head = AttentionHead(12, 3).double().eval()
    lengths = [5, 1, 9]
    rows = torch.randn(sum(lengths), 12, dtype=torch.float64)
    with torch.inference_mode():
        outputs, attention, _ = head(rows, torch.tensor(lengths))
        assert attention.shape == (15,)
        for output, bag in zip(outputs, rows.split(lengths), strict=True):
            torch.testing.assert_close(output, equation_3(head, bag))


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
