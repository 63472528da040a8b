"""Outputs that are numbers, not probabilities: values in the label's own unit, risks against the mean of training."""

from collections.abc import Sequence

import torch
from torch import Tensor

from slicebank_models.heads.head import Head, HeadOutput
from slicebank_models.heads.targets import Target


class ScaledHead(Head):
    """A head whose outputs are shifted and scaled by numbers that training fits and the state carries along.

    Regression learns values of mean 0 and deviation 1, whatever the label's unit; survival answers risks against the mean
    risk of the cases it learned from.

    Attributes:
        shift: (n_outputs,) added last.
        scale: (n_outputs,) multiplied before.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, head: Head, n_outputs: int) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("shift", torch.zeros(n_outputs))
        self.register_buffer("scale", torch.ones(n_outputs))

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """See `Head.forward`."""
        output: HeadOutput = self.head(rows, lengths, targets)
        return output._replace(logits=output.logits * self.scale + self.shift)


def target_scaling(targets: Sequence[Target]) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of the known values of each regression label, (n_outputs,) float32 each.

    A label without two different values has deviation 1.
    """
    columns = [[value for value in column if value is not None] for column in zip(*targets, strict=True)]
    found = [torch.tensor(column, dtype=torch.float64) for column in columns]
    means = torch.stack([values.mean() if len(values) else values.new_zeros(()) for values in found])
    deviations = torch.stack([values.std(correction=0) if len(values) else values.new_ones(()) for values in found])
    return means.float(), torch.where(deviations > 0, deviations, 1.0).float()


def fit_scaling(head: Head, targets: Sequence[Target]) -> None:
    """Sets a regression head's scaling from the targets of its training cases, before the first step."""
    if isinstance(head, ScaledHead):
        shift, scale = target_scaling(targets)
        head.shift.copy_(shift)
        head.scale.copy_(scale)


def centred(state: dict[str, Tensor], risks: Tensor) -> dict[str, Tensor]:
    """Returns a survival head's state whose risks have mean 0 over the cases of `risks`.

    Args:
        state: Of a head that `build_head` made for a survival task.
        risks: (n,) or (n, 1), what that head says about its training cases.
    """
    shift = state["shift"]
    return {**state, "shift": shift - risks.mean().to(shift)}
