import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.losses import (
    answer_weights,
    cox_loss,
    loss_of,
    n_answers,
)

MULTILABEL = TaskSpec(TaskKind.MULTILABEL, ("a", "b"))
MULTICLASS = TaskSpec(TaskKind.MULTICLASS, ("a", "b", "c"))
REGRESSION = TaskSpec(TaskKind.REGRESSION, ("age", "volume"))
SURVIVAL = TaskSpec(TaskKind.SURVIVAL, ("days", "death"))


def test_cross_entropies_skip_what_is_not_known() -> None:
    logits = torch.tensor([[0.3, -2.0], [1.5, 0.1], [4.0, 4.0]], dtype=torch.float64)
    targets = [(1, None), (0, 1), (None, None)]
    known = [(0.3, 1), (1.5, 0), (0.1, 1)]
    expected = -sum(math.log(1 / (1 + math.exp(-x if y else x))) for x, y in known)
    assert float(loss_of(MULTILABEL, logits, targets)) == pytest.approx(expected)
    assert n_answers(MULTILABEL, targets) == 3
    logits = torch.tensor([[0.3, -2.0, 1.0], [1.5, 0.1, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = loss_of(MULTICLASS, logits, [(2,), (None,)])
    assert float(loss.detach()) == pytest.approx(-math.log(math.e / (math.exp(0.3) + math.exp(-2) + math.e)))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[1].tolist() == [0, 0, 0]


def test_weights_make_answers_count_alike_and_leave_the_mean_at_one() -> None:
    targets = [(0,)] * 6 + [(1,)] * 3 + [(2,)] + [(None,)] * 5
    weights = answer_weights(MULTICLASS, targets, balanced=True)
    assert weights is not None
    np.testing.assert_allclose(weights, [10 / 18, 10 / 9, 10 / 3])
    counts = torch.tensor([6.0, 3.0, 1.0])
    assert float((weights * counts).sum() / 10) == pytest.approx(1)
    assert len({round(float(total), 9) for total in weights * counts}) == 1
    assert answer_weights(MULTICLASS, targets, balanced=False) is None
    # A class that the training part lacks has a weight all the same: the validation part may hold it.
    np.testing.assert_allclose(answer_weights(MULTICLASS, [(0,), (0,), (0,), (2,)], balanced=True), [2 / 3, 1, 2])


def test_weights_of_several_labels_are_each_labels_own() -> None:
    targets = [(1, 0), (0, 0), (0, None), (0, 1)]
    weights = answer_weights(MULTILABEL, targets, balanced=True)
    assert weights is not None
    np.testing.assert_allclose(weights, [[4 / 6, 2], [3 / 4, 3 / 2]])  # (label, answer)
    logits = torch.tensor([[0.5, -1.0]] * 4, dtype=torch.float64)
    each = F.binary_cross_entropy_with_logits
    expected = sum(
        float(weights[label, int(target[label])])
        * float(each(logits[0, label], torch.tensor(float(target[label]), dtype=torch.float64)))
        for target in targets
        for label in (0, 1)
        if target[label] is not None
    )
    assert float(loss_of(MULTILABEL, logits, targets, weights)) == pytest.approx(expected)


def test_labels_of_different_units_count_alike() -> None:
    targets = [(60.0, 0.001), (70.0, 0.003), (80.0, None)]
    weights = answer_weights(REGRESSION, targets, balanced=False)
    assert weights is not None
    means = torch.tensor([[70.0, 0.002]] * 3, dtype=torch.float64)
    # Saying the mean costs 1 per known answer, whatever the unit.
    assert float(loss_of(REGRESSION, means, targets, weights)) == pytest.approx(5)
    assert answer_weights(REGRESSION, [(1.0, 2.0)] * 3, balanced=False).tolist() == [1, 1]  # type: ignore[union-attr]


def efron(risk: list[float], time: list[float], event: list[float]) -> float:
    """The negative log partial likelihood with Efron's ties, from its definition."""
    total = 0.0
    for at in sorted({t for t, e in zip(time, event, strict=True) if e}):
        dying = [r for r, t, e in zip(risk, time, event, strict=True) if t == at and e]
        at_risk = sum(math.exp(r) for r, t in zip(risk, time, strict=True) if t >= at)
        tied = sum(math.exp(r) for r in dying)
        total -= sum(dying) - sum(math.log(at_risk - k / len(dying) * tied) for k in range(len(dying)))
    return total


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 6), st.integers(0, 1)), min_size=1, max_size=15),
)
def test_cox_loss_is_the_partial_likelihood_with_efrons_ties(cases: list[tuple[float, int, int]]) -> None:
    risk, time, event = (torch.tensor(column, dtype=torch.float64) for column in zip(*cases, strict=True))
    risk.requires_grad_()
    loss = cox_loss(risk, time, event)
    assert float(loss.detach()) == pytest.approx(efron(*map(list, zip(*cases, strict=True))), rel=1e-9, abs=1e-9)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(loss, risk)
    assert torch.autograd.gradcheck(lambda r: cox_loss(r, time, event), risk)
    # A constant added to all risks changes nothing.
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-9)


def test_cox_loss_bears_great_risks_no_event_and_no_case() -> None:
    time, event = torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    risk = torch.tensor([1e4, -1e4, 500.0, 0.0], requires_grad=True)
    loss = cox_loss(risk, time, event)
    assert float(loss.detach()) == pytest.approx(
        500 + 1e4, rel=1e-4
    )  # the second of the tied is 10,500 below the first
    assert bool(torch.autograd.grad(loss, risk)[0].isfinite().all())
    assert float(cox_loss(risk, time, torch.zeros(4)).detach()) == 0
    assert float(cox_loss(risk[:0], time[:0], event[:0]).detach()) == 0


def test_higher_risk_means_an_earlier_event() -> None:
    targets = [(10.0, 1.0), (20.0, 1.0), (30.0, 0.0), (None, None)]
    right, wrong = torch.tensor([[2.0], [1.0], [0.0], [9.0]]), torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    assert float(loss_of(SURVIVAL, right, targets)) < float(loss_of(SURVIVAL, wrong, targets))
    assert n_answers(SURVIVAL, targets) == 2
