"""The pooling with a backward pass of its own equals what torch's gradients give for the head."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.packed import bag_softmax, bag_sum
from slicebank_models.heads.scaled import ScaledHead
from slicebank_models.heads.scan import ScanHead
from slicebank_models.training.fused_abmil import Chunk, evaluate_pooling, fused_pooling, published_head
from slicebank_models.training.workspace import Workspace

DIM, WIDTH = 12, 8
WORKSPACE = Workspace(torch.device("cpu"))
EVEN, UNEVEN = ((7, 7), (7,)), ((3, 9, 1), (5,))


def head(dtype: torch.dtype = torch.float32) -> AttentionHead:
    torch.manual_seed(3)
    return AttentionHead(DIM, 1, WIDTH, 0.0).to(dtype)


def rows(lengths: Sequence[Sequence[int]], dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(5)
    return torch.randn(sum(map(sum, lengths)), DIM, dtype=dtype) + 4


def chunks(lengths: Sequence[Sequence[int]], given: Tensor) -> list[Chunk]:
    parts = given.split([sum(part) for part in lengths])
    return [
        Chunk(part, list(sizes), sizes[0] if len(set(sizes)) == 1 else 0)
        for part, sizes in zip(parts, lengths, strict=True)
    ]


def plainly(module: AttentionHead, lengths: Sequence[Sequence[int]], given: Tensor) -> Tensor:
    sizes = torch.tensor([size for part in lengths for size in part])
    hidden = module.encoder(given)
    weights = bag_softmax(module.attention(hidden).squeeze(1), sizes)
    return bag_sum(hidden * weights.unsqueeze(1), sizes)


def evaluated(module: AttentionHead, parts: Sequence[Chunk], offset: Tensor) -> Tensor:
    return torch.cat([evaluate_pooling(module, part, offset, WORKSPACE) for part in parts])


def gradients(module: AttentionHead, pooled: Tensor) -> list[Tensor]:
    module.zero_grad()
    torch.autograd.backward([(pooled * torch.arange(pooled.numel()).reshape(pooled.shape).sin()).sum()])
    parameters = [*module.encoder.parameters(), *module.attention.parameters()]
    return [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]


@pytest.mark.parametrize("lengths", [EVEN, UNEVEN])
def test_sums_and_gradients_are_those_of_torch_in_float64(lengths: tuple[tuple[int, ...], ...]) -> None:
    module, given = head(torch.float64), rows(lengths, torch.float64)
    offset = given.mean(dim=0)
    expected = plainly(module, lengths, given)
    found = fused_pooling(module, chunks(lengths, given - offset), offset, WORKSPACE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(evaluated(module, chunks(lengths, given - offset), offset), found)
    wanted = gradients(module, plainly(module, lengths, given))
    got = gradients(module, fused_pooling(module, chunks(lengths, given - offset), offset, WORKSPACE))
    assert len(got) == len(wanted) == 6
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lengths", [EVEN, UNEVEN])
def test_bfloat16_stays_near_float32_even_far_from_zero(lengths: tuple[tuple[int, ...], ...]) -> None:
    """Rows whose mean is 250 times their spread: without the offset bfloat16 would keep nothing of them."""
    module, given = head(), rows(lengths) + 1000
    with torch.no_grad():
        module.encoder[0].weight.mul_(0.5)
    offset = given.mean(dim=0)
    exact = gradients(module.double(), plainly(module, lengths, given.double()))
    module.float()
    rounded = chunks(lengths, (given - offset).bfloat16())
    got = gradients(module, fused_pooling(module, rounded, offset, WORKSPACE))
    torch.testing.assert_close(evaluated(module, rounded, offset), plainly(module, lengths, given), rtol=0.03, atol=0.3)
    for one, other in zip(got, exact, strict=True):
        assert torch.linalg.norm(one - other) <= 0.05 * torch.linalg.norm(other) + 1e-3


def test_a_bag_does_not_depend_on_its_neighbours() -> None:
    module, given = head(), rows(UNEVEN)
    together = evaluated(module, chunks(UNEVEN, given), torch.zeros(DIM))
    alone = evaluated(module, chunks(((9,),), given[3:12]), torch.zeros(DIM))
    torch.testing.assert_close(together[1], alone[0])


def test_only_the_published_head_fits() -> None:
    published = head()
    assert published_head(published) is published
    assert published_head(ScaledHead(published, 1)) is published
    assert published_head(AttentionHead(DIM, 1, WIDTH, 0.0, gated=True)) is None
    assert published_head(ScanHead(DIM, 1)) is None
