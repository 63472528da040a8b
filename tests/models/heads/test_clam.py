import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.heads.clam import ClamHead, smooth_svm
from slicebank_models.heads.spec import TaskKind


def svm(scores: list[float], answer: int) -> float:
    """The smooth top-1 SVM loss of margin and temperature 1, from its definition."""
    return math.log(sum(math.exp(s + (j != answer)) for j, s in enumerate(scores))) - scores[answer]


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=2))
def test_the_instance_loss_is_the_smooth_svm(scores: list[float]) -> None:
    found = smooth_svm(torch.tensor(scores, dtype=torch.float64)).tolist()
    assert found == pytest.approx([svm(scores, 0), svm(scores, 1)])


def by_hand(head: ClamHead, hidden: torch.Tensor, attention: torch.Tensor, holds: list[float | None]) -> list[float]:
    """The losses of one bag, one for each output that is known."""
    losses = []
    n = len(hidden)
    for place, answer in enumerate(holds):
        if answer is None:
            continue
        column = attention[:, place if attention.shape[1] > 1 else 0].tolist()
        ranked = sorted(range(n), key=lambda row: -column[row])
        top, bottom = ranked[: min(head.instances, math.ceil(n / 2))], ranked[n - min(head.instances, n // 2) :]
        weight = head.instance_classifiers.weight[2 * place : 2 * place + 2]
        bias = head.instance_classifiers.bias[2 * place : 2 * place + 2]
        scores = [(weight @ row + bias).tolist() for row in hidden]
        each = [svm(scores[row], int(answer)) for row in top]
        each += [svm(scores[row], 0) for row in bottom] if answer else []
        losses.append(math.fsum(each) / len(each))
    return losses


@pytest.mark.parametrize("branches", [False, True])
@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    instances=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_rows_at_the_ends_of_the_attention_are_clustered(
    branches: bool, lengths: list[int], instances: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    head = ClamHead(4, TaskKind.MULTILABEL, 3, 6, instances=instances, branches=branches).double()
    hidden = torch.randn(sum(lengths), 6, generator=generator, dtype=torch.float64)
    attention = torch.randn(sum(lengths), 3 if branches else 1, generator=generator, dtype=torch.float64)
    holds = torch.randint(0, 3, (len(lengths), 3), generator=generator).double()
    holds[holds == 2] = math.nan
    expected: list[float] = []
    for bag, scores, answers in zip(hidden.split(lengths), attention.split(lengths), holds.tolist(), strict=True):
        expected += by_hand(head, bag, scores, [None if math.isnan(answer) else answer for answer in answers])
    with torch.no_grad():
        found = head.instance_loss(hidden, attention, torch.tensor(lengths), holds)
    assert float(found) == pytest.approx(sum(expected) / len(expected) if expected else 0)


def test_the_class_of_a_bag_holds_and_the_others_do_not() -> None:
    torch.manual_seed(0)
    head = ClamHead(4, TaskKind.MULTICLASS, 3, 6, dropout=0, instances=2, branches=True).train()
    rows, lengths = torch.randn(9, 4), torch.tensor([4, 5])
    output = head(rows, lengths, torch.tensor([[2.0], [math.nan]], dtype=torch.float64))
    hidden = head.encoder(rows)
    with torch.no_grad():
        expected = by_hand(head, hidden[:4].detach(), head.attention(hidden)[:4].detach(), [0.0, 0.0, 1.0])
    assert output.loss is not None
    assert float(output.loss.detach()) == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert head(rows, lengths).loss is None
    assert head.eval()(rows, lengths, torch.tensor([[2.0], [0.0]])).loss is None


def test_the_instance_loss_leaves_the_attention_alone() -> None:
    torch.manual_seed(0)
    head = ClamHead(4, TaskKind.BINARY, 1, 6, instances=2).train()
    output = head(torch.randn(9, 4), torch.tensor([4, 5]), torch.tensor([[1.0], [0.0]]))
    assert output.loss is not None
    torch.autograd.backward([output.loss])
    assert all(weight.grad is None for weight in head.attention.parameters())
    assert head.encoder[0].weight.grad is not None
    assert head.instance_classifiers.weight.grad is not None
