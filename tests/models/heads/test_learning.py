"""Every head learns what is planted, and its attention finds the row."""

import pytest
import torch
from torch.nn import functional as F

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.build import build_head
from slicebank_models.heads.head_spec import Architecture, HeadSpec
from slicebank_models.heads.packed import split
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.losses import loss_of, targets_tensor

N_BAGS, DIM = 100, 6
OF_SLICES = [a for a in Architecture if a not in (Architecture.LINEAR, Architecture.MLP)]
TASK = TaskSpec(TaskKind.MULTILABEL, ("x", "y"))


def planted(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows, lengths, targets and planted places: bags of 4 to 9 rows, in half of them one row 6 sigma out, by label."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, 10, (N_BAGS,), generator=generator)
    rows = torch.randn(int(lengths.sum()), DIM, generator=generator)
    targets = torch.randint(0, 2, (N_BAGS, 2), generator=generator)
    starts = torch.cumsum(lengths, 0) - lengths
    places = starts.unsqueeze(1) + (torch.rand(N_BAGS, 2, generator=generator) * lengths.unsqueeze(1)).long()
    for label in (0, 1):
        rows[places[targets[:, label] == 1, label], label] += 6
    return rows, lengths, targets, places


@pytest.mark.parametrize("architecture", OF_SLICES)
def test_a_planted_row_is_learned_and_found(architecture: Architecture) -> None:
    rows, lengths, targets, _ = planted(0)
    torch.manual_seed(0)
    head = build_head(HeadSpec(architecture, width=24, dropout=0.1), EncoderLevel.SLICE, DIM, TASK).train()
    optimiser = torch.optim.AdamW(head.parameters(), lr=2e-2)
    answers = targets_tensor([tuple(map(float, target)) for target in targets.tolist()])
    for _ in range(30):
        optimiser.zero_grad()
        output = head(rows, lengths, answers)
        loss = loss_of(TASK, output.logits, answers) / answers.numel()
        torch.autograd.backward([loss if output.loss is None else 0.7 * loss + 0.3 * output.loss])
        optimiser.step()
    rows, lengths, targets, places = planted(1)
    with torch.inference_mode():
        output = head.eval()(rows, lengths)
    right = ((output.logits > 0) == (targets == 1)).float().mean()
    # One row of about eight moves a mean by less than its noise.
    assert float(right) > (0.7 if architecture is Architecture.MEAN else 0.9)
    unseen = float(F.binary_cross_entropy_with_logits(output.logits, targets.float()))
    assert unseen < (0.6 if architecture is Architecture.MEAN else 0.35)
    if architecture is Architecture.MEAN:
        return
    # With one label alone, what is attended first is the row that was planted for it.
    attention = output.attention_logits
    attention = attention if attention.ndim == 2 else attention.unsqueeze(1).expand(-1, 2)
    starts = torch.cumsum(lengths, 0) - lengths
    found = [
        int(start) + int(bag[:, label].argmax()) == int(place[label])
        for bag, start, place, target in zip(split(attention, lengths), starts, places, targets, strict=True)
        for label in (0, 1)
        if target[label] == 1 and target[1 - label] == 0
    ]
    assert sum(found) / len(found) > 0.85
