"""One step against the loss written out, and in parts against one part."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.contrastive_step import StepOutcome, contrastive_step
from slicebank_models.pretraining.losses import contrastive_loss
from slicebank_models.pretraining.spec import LesionLoss, LossSettings, Method
from tests.models.pretraining.small_networks import gradients, small_model, small_views

LECL = LossSettings(lesion_weight=3.0, temperature=0.5)
LESIONS = torch.tensor([True, False, False, True, False, False, True, False])


def step_with_gradients(parts: int, *, norm: bool, loss: LossSettings = LECL) -> tuple[StepOutcome, dict[str, Tensor]]:
    model = small_model(norm=norm)
    outcome = contrastive_step(model, *small_views(8), LESIONS, loss=loss, parts=parts)
    return outcome, gradients(model)


@pytest.mark.parametrize("kind", list(LesionLoss))
@pytest.mark.parametrize("norm", [False, True])
def test_the_loss_is_of_each_view_with_the_other(kind: LesionLoss, norm: bool) -> None:
    outcome, found = step_with_gradients(1, norm=norm, loss=replace(LECL, lesion_loss=kind))
    model = small_model(norm=norm)
    view1, view2 = small_views(8)
    queries1, queries2, _ = model(view1, view2)
    keys1, keys2 = model.keys(view1, view2)
    total = sum(
        contrastive_loss(
            queries, keys, first=0, temperature=0.5, lesion_keys=LESIONS, lesion_weight=3.0, lesion_loss=kind
        )
        for queries, keys in ((queries1, keys2), (queries2, keys1))
    )
    assert isinstance(total, Tensor)
    total.backward()
    torch.testing.assert_close(outcome.loss, total.detach(), rtol=1e-12, atol=0)
    wanted = gradients(model)
    assert set(found) == set(wanted) == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(outcome.queries, queries1.detach())
    torch.testing.assert_close(outcome.keys, keys2)
    torch.testing.assert_close(outcome.features, model.encoder(view1).detach())


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_parts_without_norms_give_the_step_of_one_part(parts: int) -> None:
    (one, wanted), (several, found) = (step_with_gradients(count, norm=False) for count in (1, parts))
    for entry in fields(StepOutcome):
        torch.testing.assert_close(getattr(several, entry.name), getattr(one, entry.name), rtol=1e-12, atol=1e-14)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-11, atol=1e-14)


def test_with_norms_a_part_is_normed_by_itself_and_still_meets_all_keys() -> None:
    outcome, _ = step_with_gradients(2, norm=True)
    model = small_model(norm=True)
    view1, view2 = small_views(8)
    halves = (slice(0, 4), slice(4, 8))
    keys = [model.keys(view1[half], view2[half]) for half in halves]
    keys1, keys2 = (torch.cat(rows) for rows in zip(*keys, strict=True))
    total = torch.zeros((), dtype=torch.float64)
    for half in halves:
        queries1, queries2, _ = model(view1[half], view2[half])
        for queries, against in ((queries1, keys2), (queries2, keys1)):
            total += 0.5 * contrastive_loss(
                queries, against, first=half.start, temperature=0.5, lesion_keys=LESIONS, lesion_weight=3.0
            )
    torch.testing.assert_close(outcome.loss, total.detach(), rtol=1e-12, atol=0)
    assert len(outcome.keys) == len(outcome.queries) == len(outcome.features) == 8


def test_accuracy_is_of_both_directions() -> None:
    model = small_model(norm=False)
    view, _ = small_views(8)
    # Queries that are keys of the same view find their own.
    model.encoder.load_state_dict(model.momentum_encoder.state_dict())
    model.projector.load_state_dict(model.momentum_projector.state_dict())
    model.predictor = nn.Identity()
    outcome = contrastive_step(model, view, view, LESIONS, loss=LECL)
    assert outcome.accuracy.item() == 1.0
    backwards = contrastive_step(model, view, view.flip(0), LESIONS, loss=LECL)
    assert backwards.accuracy.item() == 0.0


@pytest.mark.parametrize("loss", [LossSettings(method=Method.MOCO, lesion_weight=3.0), LossSettings()])
def test_moco_and_weight_zero_take_no_notice_of_lesions(loss: LossSettings) -> None:
    losses = [
        contrastive_step(small_model(norm=False), *small_views(8), mask, loss=loss).loss for mask in (LESIONS, ~LESIONS)
    ]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], step_with_gradients(1, norm=False, loss=replace(LECL, temperature=1.0))[0].loss)


def test_gradients_are_added_and_momentum_networks_get_none() -> None:
    model = small_model(norm=False)
    for _ in range(2):
        contrastive_step(model, *small_views(8), LESIONS, loss=LECL)
    _, once = step_with_gradients(1, norm=False)
    for name, gradient in gradients(model).items():
        assert not name.startswith("momentum")
        torch.testing.assert_close(gradient, 2 * once[name])


def test_bfloat16_networks_leave_losses_and_statistics_in_float32() -> None:
    model = small_model(norm=True).float()
    view1, view2 = (view.float() for view in small_views(8))
    outcome = contrastive_step(model, view1, view2, LESIONS, loss=LECL, autocast=torch.bfloat16)
    exact, _ = step_with_gradients(1, norm=True)
    for entry in fields(StepOutcome):
        assert getattr(outcome, entry.name).dtype == torch.float32
    assert outcome.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)
    assert all(gradient.dtype == torch.float32 for gradient in gradients(model).values())


def test_parts_of_one_slice_are_refused() -> None:
    with pytest.raises(BadPretrainingSetting, match=r"optimiser.accumulate: 8 slices a process in 5 parts"):
        contrastive_step(small_model(norm=True), *small_views(8), LESIONS, loss=LECL, parts=5)
    with pytest.raises(TypeError, match="Identity is no ContrastiveModel"):
        contrastive_step(nn.Identity(), *small_views(8), LESIONS, loss=LECL)
