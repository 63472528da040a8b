import pytest
import torch

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.build import build_head
from slicebank_models.heads.ensemble import HeadEnsemble
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.scaled import centred, fit_scaling, target_scaling
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.losses import answer_weights, loss_of, targets_tensor

REGRESSION = TaskSpec(TaskKind.REGRESSION, ("age", "volume"))
SURVIVAL = TaskSpec(TaskKind.SURVIVAL, ("days", "death"))
SLICES = EncoderLevel.SLICE


def test_scaling_is_that_of_known_values() -> None:
    shift, scale = target_scaling([(60.0, 5.0), (80.0, None), (70.0, 5.0)])
    assert shift.tolist() == [70, 5]
    assert scale.tolist() == pytest.approx([(200 / 3) ** 0.5, 1])


def test_values_are_in_the_labels_unit_and_learn_as_if_they_were_not() -> None:
    targets = [(60.0, 0.001), (70.0, 0.003), (80.0, 0.002)]
    rows, lengths = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([2, 3, 4])
    torch.manual_seed(0)
    head = build_head(HeadSpec(), SLICES, 4, REGRESSION).eval()
    raw = head(rows, lengths).logits
    fit_scaling(head, targets)
    values = head(rows, lengths).logits
    shift, scale = target_scaling(targets)
    torch.testing.assert_close(values, raw * scale + shift)
    loss = loss_of(REGRESSION, values, targets, answer_weights(REGRESSION, targets, balanced=False))
    normed = (targets_tensor(targets).float() - shift) / scale
    torch.testing.assert_close(loss, ((raw - normed) ** 2).sum())


def test_risks_are_against_the_mean_of_training() -> None:
    torch.manual_seed(0)
    head = build_head(HeadSpec(), SLICES, 4, SURVIVAL).eval()
    rows, lengths = torch.randn(9, 4), torch.tensor([2, 3, 4])
    with torch.inference_mode():
        risks = head(rows, lengths).logits
    state = centred(head.state_dict(), risks)
    ensemble = HeadEnsemble(SURVIVAL, dim=4, level=SLICES, folds=[state])
    served = [ensemble.predict(bag.numpy()).outputs[0].value for bag in rows.split(lengths.tolist())]
    assert served == pytest.approx((risks[:, 0] - risks.mean()).tolist(), abs=1e-6)
    assert abs(sum(served)) < 1e-5  # type: ignore[arg-type]


def test_probabilities_have_no_scaling() -> None:
    head = build_head(HeadSpec(), SLICES, 4, TaskSpec(TaskKind.BINARY, ("lesion",)))
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    fit_scaling(head, [(0,), (1,)])
    assert all(torch.equal(before[name], tensor) for name, tensor in head.state_dict().items())
