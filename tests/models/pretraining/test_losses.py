"""The losses against loops in float64, against InfoNCE as cross entropy, and against the published code's own numbers."""

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.pretraining.losses import contrastive_loss, cosine_similarities, positive_accuracy
from slicebank_models.pretraining.spec import LesionLoss
from tests.models.pretraining.record_lecl_loss import CASES, COMMIT, GOLDEN, formula_rows, lesion_mask
from tests.models.pretraining.slow_losses import slow_loss


def random_rows(seed: int, rows: int, dimensions: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dimensions, generator=generator, dtype=torch.float64)


def loss_and_gradient(queries: Tensor, keys: Tensor, **given: Any) -> tuple[Tensor, Tensor]:
    leaf = queries.clone().requires_grad_()
    loss = contrastive_loss(leaf, keys, **given)
    loss.backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


@pytest.mark.parametrize("kind", list(LesionLoss))
@pytest.mark.parametrize("lesions", [(), (4,), (0, 3, 4, 7, 8), tuple(range(9))], ids=["none", "one", "many", "all"])
@pytest.mark.parametrize(
    ("weight", "temperature", "first"), [(0.0, 1.0, 0), (1.0, 1.0, 3), (3.0, 0.2, 4), (5.0, 2.0, 0)]
)
def test_loss_and_gradients_are_those_of_slow_loops(
    kind: LesionLoss, lesions: tuple[int, ...], weight: float, temperature: float, first: int
) -> None:
    queries, keys = random_rows(len(lesions), 5), random_rows(91, 9)
    mask = lesion_mask(9, lesions)
    loss, gradient = loss_and_gradient(
        queries,
        keys,
        first=first,
        temperature=temperature,
        lesion_keys=mask,
        lesion_weight=weight,
        lesion_loss=kind,
    )
    wanted, wanted_gradient = slow_loss(queries, keys, first, temperature, mask.tolist(), weight, kind.value)
    assert loss.item() == pytest.approx(wanted, rel=1e-12)
    reference = torch.tensor(wanted_gradient, dtype=torch.float64)
    assert (gradient - reference).norm() <= 1e-10 * reference.norm()


def test_float32_rows_are_within_a_millionth_of_the_loops() -> None:
    queries, keys = random_rows(1, 8, 32).float(), random_rows(2, 16, 32).float()
    mask = lesion_mask(16, (2, 3, 11))
    given: dict[str, Any] = {"first": 8, "temperature": 0.2, "lesion_keys": mask, "lesion_weight": 3.0}
    loss, _ = loss_and_gradient(queries, keys, **given)
    wanted, _ = slow_loss(queries, keys, 8, 0.2, mask.tolist(), 3.0, "printed")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("kind", list(LesionLoss))
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_without_weight_it_is_moco_v3s_cross_entropy(kind: LesionLoss, temperature: float) -> None:
    queries, keys = random_rows(3, 4), random_rows(4, 8)
    given: dict[str, Any] = {"first": 4, "temperature": temperature, "lesion_weight": 0.0, "lesion_loss": kind}
    loss, gradient = loss_and_gradient(queries, keys, lesion_keys=lesion_mask(8, (1, 5)), **given)
    leaf = queries.clone().requires_grad_()
    logits = F.normalize(leaf, dim=1) @ F.normalize(keys, dim=1).T / temperature
    wanted = F.cross_entropy(logits, torch.arange(4, 8)) * (2 * temperature)
    wanted.backward()
    assert leaf.grad is not None
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-13)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("at", range(len(CASES)))
def test_published_variant_gives_the_numbers_of_the_published_code(at: int) -> None:
    golden = json.loads(GOLDEN.read_text())
    case = golden["cases"][at]
    each, processes, lesions, weight, temperature = CASES[at]
    assert golden["commit"] == COMMIT
    assert (case["slices_a_process"], case["lesions"], case["lesion_weight"]) == (each, list(lesions), weight)
    assert len(case["ranks"]) == processes
    queries, keys = formula_rows(each * processes, 0.3), formula_rows(each * processes, 1.1)
    for rank, recorded in enumerate(case["ranks"]):
        first = rank * each
        loss, gradient = loss_and_gradient(
            queries[first : first + each],
            keys,
            first=first,
            temperature=temperature,
            lesion_keys=lesion_mask(each * processes, lesions),
            lesion_weight=weight,
            lesion_loss=LesionLoss.PUBLISHED_CODE,
        )
        assert loss.item() == pytest.approx(recorded["loss"], rel=1e-12)
        wanted = torch.tensor(recorded["gradients"], dtype=torch.float64)
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-13)


def test_the_two_variants_differ_where_there_are_lesions() -> None:
    given: dict[str, Any] = {
        "first": 0,
        "temperature": 1.0,
        "lesion_keys": lesion_mask(6, (1, 2)),
        "lesion_weight": 3.0,
    }
    printed, published = (
        contrastive_loss(random_rows(5, 6), random_rows(6, 6), lesion_loss=kind, **given) for kind in LesionLoss
    )
    assert abs(printed - published) > 0.05


def test_huge_weights_and_tiny_temperatures_stay_numbers() -> None:
    queries, keys = random_rows(7, 4).float(), random_rows(8, 4).float()
    for kind in LesionLoss:
        loss, gradient = loss_and_gradient(
            queries,
            keys,
            first=0,
            temperature=0.001,
            lesion_keys=lesion_mask(4, (0, 2)),
            lesion_weight=1000.0,
            lesion_loss=kind,
        )
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_cosines_are_not_rounded_under_autocast() -> None:
    queries, keys = random_rows(9, 4).float(), random_rows(10, 4).float()
    plain = cosine_similarities(queries, keys)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cosine_similarities(queries, keys), plain)
    assert cosine_similarities(queries.bfloat16(), keys).dtype == torch.float32


def test_queries_without_keys_of_their_own_are_refused() -> None:
    with pytest.raises(ValueError, match="4 queries from row 5"):
        contrastive_loss(random_rows(1, 4), random_rows(2, 8), first=5, temperature=1.0)


def test_accuracy_counts_queries_next_to_their_own_key() -> None:
    similarities = torch.tensor([[0.1, 0.9, 0.0, 0.0], [0.2, 0.1, 0.3, 0.9]])
    assert positive_accuracy(similarities, first=1).item() == 0.5
    assert positive_accuracy(similarities, first=2).item() == 0.5
    assert positive_accuracy(similarities, first=0).item() == 0.0


seeds = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0.1, 10.0), st.floats(0.0, 20.0))
def test_lengths_do_not_count_and_weights_only_add(seed: int, scale: float, weight: float) -> None:
    queries, keys = random_rows(seed, 4), random_rows(seed + 1, 8)
    mask = lesion_mask(8, tuple(torch.randperm(8, generator=torch.Generator().manual_seed(seed))[:3].tolist()))
    given: dict[str, Any] = {"first": 2, "temperature": 0.5, "lesion_keys": mask}
    loss = contrastive_loss(queries, keys, lesion_weight=weight, **given)
    longer = contrastive_loss(queries * scale, keys * scale, lesion_weight=weight, **given)
    assert longer.item() == pytest.approx(loss.item(), rel=1e-12)
    plain = contrastive_loss(queries, keys, first=2, temperature=0.5)
    # Between no weight and a weight on every key, which adds log(1 + lambda) to each query's loss.
    assert plain.item() - 1e-12 <= loss.item() <= plain.item() + math.log1p(weight) + 1e-12


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(list(LesionLoss)))
def test_order_of_other_keys_does_not_matter(seed: int, kind: LesionLoss) -> None:
    queries, keys = random_rows(seed, 3), random_rows(seed + 1, 9)
    mask = lesion_mask(9, (0, 4, 7))
    order = torch.cat([torch.arange(3), 3 + torch.randperm(6, generator=torch.Generator().manual_seed(seed))])
    given: dict[str, Any] = {"first": 0, "temperature": 0.5, "lesion_weight": 2.0, "lesion_loss": kind}
    loss = contrastive_loss(queries, keys, lesion_keys=mask, **given)
    moved = contrastive_loss(queries, keys[order], lesion_keys=mask[order], **given)
    assert moved.item() == pytest.approx(loss.item(), rel=1e-12)
