"""What two processes compute together against one that has the whole batch. They are started once for all tests here."""

from typing import Any

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slicebank_models.pretraining.contrastive_step import contrastive_step
from slicebank_models.pretraining.gathering import gather_rows, process_count, process_rank
from slicebank_models.pretraining.losses import contrastive_loss
from slicebank_models.pretraining.spec import LesionLoss, LossSettings
from slicebank_models.pretraining.synchronised_norm import SynchronisedNorm, synchronise
from tests.models.pretraining.record_lecl_loss import lesion_mask
from tests.models.pretraining.slow_losses import slow_loss
from tests.models.pretraining.small_networks import gradients, small_model, small_views
from tests.models.pretraining.two_processes import in_two_processes

SLICES = 8  # of the whole batch
LESIONS = {"none": (), "one": (5,), "many": (0, 2, 3, 6, 7)}
STEPS = {"plain": (False, 1), "plain in parts": (False, 2), "normed": (True, 1)}


def whole_batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, SLICES, 6, generator=generator, dtype=torch.float64)
    return rows[0], rows[1]


def norms() -> dict[str, tuple[nn.Module, Tensor]]:
    """Norms of every form, with a batch for each."""
    generator = torch.Generator().manual_seed(11)
    flat = 3.0 + torch.randn(SLICES, 5, generator=generator, dtype=torch.float64)
    maps = torch.randn(SLICES, 3, 4, 2, generator=generator, dtype=torch.float64) - 7.0
    scaled = nn.BatchNorm1d(5)
    with torch.no_grad():
        scaled.weight.copy_(torch.linspace(0.5, 2.0, 5))
        scaled.bias.copy_(torch.linspace(-1.0, 1.0, 5))
    return {
        "scaled": (scaled.double(), flat),
        "no scale": (nn.BatchNorm1d(5, affine=False).double(), flat),
        "maps": (nn.BatchNorm2d(3, momentum=0.3).double(), maps),
        "cumulative": (nn.BatchNorm2d(3, momentum=None).double(), maps),
        "activated": (BatchNormAct2d(3, act_layer="gelu").double(), maps),
        "no statistics": (nn.BatchNorm2d(3, track_running_stats=False).double(), maps),
        "large offset in float32": (nn.BatchNorm1d(5), (flat + 300.0).float()),
    }


def norm_twice(norm: nn.Module, rows: Tensor) -> dict[str, Tensor]:
    """Two passes in training, the gradients of a sum of unlike squares, and the state."""
    leaf = rows.clone().requires_grad_()
    norm(leaf.detach() * 2.0)
    normed = norm(leaf)
    # Of the whole batch a sum, so that each process's gradients add up to it.
    (normed**3).sum().backward()
    assert leaf.grad is not None
    return {
        "normed": normed.detach(),
        "gradient": leaf.grad,
        **{f"gradient of {n}": g for n, g in gradients(norm).items()},
        **{f"state {n}": t.clone() for n, t in norm.state_dict().items()},
    }


def work(rank: int) -> dict[str, Any]:
    own = slice(rank * SLICES // 2, (rank + 1) * SLICES // 2)
    found: dict[str, Any] = {"rank": process_rank(), "processes": process_count()}
    found["gathered"] = [
        gather_rows(torch.full((2, 3), float(rank)))[0],
        gather_rows(torch.tensor([rank == 0, True]))[0],
        gather_rows(torch.zeros(2))[1],
    ]
    for name, lesions in LESIONS.items():
        for kind in LesionLoss:
            queries, keys = whole_batch(len(lesions))
            leaf = queries[own].clone().requires_grad_()
            every, first = gather_rows(keys[own])
            mask, _ = gather_rows(lesion_mask(SLICES, lesions)[own])
            loss = contrastive_loss(
                leaf, every, first=first, temperature=0.3, lesion_keys=mask, lesion_weight=3.0, lesion_loss=kind
            )
            loss.backward()
            found[f"loss {name} {kind.value}"] = (loss.item(), leaf.grad)
    for name, (norm, rows) in norms().items():
        found[f"norm {name}"] = norm_twice(synchronise(norm), rows[own])
    for name, (norm_wanted, parts) in STEPS.items():
        model = small_model(norm=norm_wanted)
        synchronise(model)
        wrapped = DistributedDataParallel(model, broadcast_buffers=False)
        views = (view[own] for view in small_views(SLICES))
        outcome = contrastive_step(
            wrapped,
            *views,
            lesion_mask(SLICES, LESIONS["many"])[own],
            loss=LossSettings(lesion_weight=3.0),
            parts=parts,
        )
        found[f"step {name}"] = {
            "loss": outcome.loss.item(),
            "accuracy": outcome.accuracy.item(),
            "gradients": gradients(model),
            "state": {n: t.clone() for n, t in model.state_dict().items()},
        }
    return found


@pytest.fixture(scope="module")
def both() -> list[dict[str, Any]]:
    return in_two_processes(work)


def test_rows_are_gathered_by_rank(both: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(both):
        assert (found["rank"], found["processes"]) == (rank, 2)
        rows, mask, first = found["gathered"]
        assert rows.tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
        assert mask.tolist() == [True, True, False, True]
        assert mask.dtype == torch.bool
        assert first == 2 * rank


@pytest.mark.parametrize("kind", list(LesionLoss))
@pytest.mark.parametrize("lesions", list(LESIONS))
def test_losses_average_to_that_of_the_global_batch_and_so_do_gradients(
    both: list[dict[str, Any]], lesions: str, kind: LesionLoss
) -> None:
    queries, keys = whole_batch(len(LESIONS[lesions]))
    mask = lesion_mask(SLICES, LESIONS[lesions])
    loss, gradient = slow_loss(queries, keys, 0, 0.3, mask.tolist(), 3.0, kind.value)
    of_ranks = [found[f"loss {lesions} {kind.value}"] for found in both]
    assert sum(of_rank[0] for of_rank in of_ranks) / 2 == pytest.approx(loss, rel=1e-10)
    # A query is in one process only; in the other its gradient is 0.
    averaged = torch.cat([of_rank[1] for of_rank in of_ranks]) / 2
    wanted = torch.tensor(gradient, dtype=torch.float64)
    assert (averaged - wanted).norm() <= 1e-10 * wanted.norm()


@pytest.mark.parametrize("name", list(norms()))
def test_norms_are_those_of_the_joined_batch(both: list[dict[str, Any]], name: str) -> None:
    norm, rows = norms()[name]
    wanted = norm_twice(norm, rows)
    found = [of_rank[f"norm {name}"] for of_rank in both]
    single = rows.dtype == torch.float32
    exactly = {"rtol": 1e-3 if single else 1e-10, "atol": 1e-3 if single else 1e-10}
    for key, value in wanted.items():
        if key in ("normed", "gradient"):
            torch.testing.assert_close(torch.cat([each[key] for each in found]), value, **exactly)
        elif key.startswith("gradient of"):
            torch.testing.assert_close(found[0][key] + found[1][key], value, **exactly)
        else:
            for each in found:
                torch.testing.assert_close(each[key], value, **exactly)
    assert set(found[0]) == set(wanted)


@pytest.mark.parametrize("name", list(STEPS))
def test_steps_are_those_of_one_process(both: list[dict[str, Any]], name: str) -> None:
    norm, parts = STEPS[name]
    model = small_model(norm=norm)
    outcome = contrastive_step(
        model,
        *small_views(SLICES),
        lesion_mask(SLICES, LESIONS["many"]),
        loss=LossSettings(lesion_weight=3.0),
        parts=parts,
    )
    found = [of_rank[f"step {name}"] for of_rank in both]
    assert sum(each["loss"] for each in found) / 2 == pytest.approx(outcome.loss.item(), rel=1e-10)
    assert sum(each["accuracy"] for each in found) / 2 == pytest.approx(outcome.accuracy.item())
    wanted = gradients(model)
    assert len(wanted) == len(found[0]["gradients"])
    for each in found:
        for parameter, gradient in wanted.items():
            torch.testing.assert_close(each["gradients"][parameter], gradient, rtol=1e-9, atol=1e-12)
        for tensor, value in model.state_dict().items():
            torch.testing.assert_close(each["state"][tensor], value, rtol=1e-10, atol=1e-12)


def test_synchronised_norms_alone_are_plain_ones() -> None:
    for (norm, rows), (other, _) in zip(norms().values(), norms().values(), strict=True):
        wanted, found = norm_twice(norm, rows), norm_twice(synchronise(other), rows)
        for key, value in wanted.items():
            assert torch.equal(found[key], value)


def test_tensors_keep_their_names_and_are_taken_over() -> None:
    model = small_model(norm=True)
    before = dict(model.named_parameters())
    names = list(model.state_dict())
    synchronise(model)
    assert list(model.state_dict()) == names
    assert all(after is before[name] for name, after in model.named_parameters())
    assert not any(type(module) in (nn.BatchNorm1d, nn.BatchNorm2d) for module in model.modules())
    assert sum(isinstance(module, SynchronisedNorm) for module in model.modules()) == 5
