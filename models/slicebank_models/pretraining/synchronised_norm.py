"""Batch norms whose statistics are of the slices of all processes, on the CPU as on CUDA.

torch's SyncBatchNorm takes CUDA tensors only. This one is that on CUDA and computes the same on the CPU, so that a run of
several processes equals a run of one on any device.
"""

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from slicebank_models.pretraining.gathering import process_count


class SynchronisedNorm(_BatchNorm):
    """BatchNorm1d or 2d over the batch of all processes; names and meaning of its tensors are theirs.

    Attributes:
        after: What timm's norms do next: dropout and activation. They have no tensors.
    """

    after: nn.Module | None

    # What nn.SyncBatchNorm.forward asks of its module.
    process_group = None
    _check_non_zero_input_channels = nn.SyncBatchNorm._check_non_zero_input_channels

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Not of the class: there it would hide the module that takes its place.
        self.after = None

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (torch's name)
        if input.dim() < 2:
            raise ValueError(f"A batch norm takes (B, C, ...), not {input.dim()} dimensions.")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Norms (B, C, ...), each channel over the slices and places of all processes."""
        self._check_input_dim(input)
        if process_count() == 1 or not self.training:
            normed = super().forward(input)
        elif input.is_cuda:
            normed = nn.SyncBatchNorm.forward(self, input)  # type: ignore[arg-type]
        else:
            normed = self._over_all(input)
        return normed if self.after is None else self.after(normed)

    def _over_all(self, rows: Tensor) -> Tensor:
        normed, mean, variance, count = _Normed.apply(rows, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                share = self.momentum
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
                    share = 1.0 / float(self.num_batches_tracked) if share is None else share
                unbiased = variance * (count / (count - 1.0))
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share or 0.0)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), share or 0.0)
        return normed  # type: ignore[no-any-return]


class _Normed(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with the gradient through the statistics of all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        values = _wide(rows)
        axes = _all_but_channels(values)
        here = values.new_tensor(float(values.numel() // values.shape[1]))
        mean = values.mean(dim=axes)
        squares = (values - _beside(mean, values)).square().sum(dim=axes)
        mean, variance, count = _joined(here, mean, squares)
        inverse = torch.rsqrt(variance + eps)
        unit = (values - _beside(mean, values)) * _beside(inverse, values)
        ctx.save_for_backward(unit, weight, inverse, count)
        ctx.dtype, ctx.has_bias = rows.dtype, bias is not None
        normed = unit if weight is None else unit * _beside(weight, unit)
        normed = normed if bias is None else normed + _beside(bias, unit)
        normed = normed.to(rows.dtype)
        normed = normed.clone() if normed is unit else normed
        ctx.mark_non_differentiable(mean, variance, count)
        return normed, mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_statistics: Any) -> tuple[Tensor | None, ...]:
        unit, weight, inverse, count = ctx.saved_tensors
        axes = _all_but_channels(unit)
        gradient = gradient.to(unit.dtype)
        of_bias, of_weight = gradient.sum(dim=axes), (gradient * unit).sum(dim=axes)
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        means = sums / count
        passed = gradient - _beside(means[0], unit) - unit * _beside(means[1], unit)
        scale = inverse if weight is None else inverse * weight
        return (
            (passed * _beside(scale, unit)).to(ctx.dtype),
            None if weight is None else of_weight.to(weight.dtype),
            of_bias.to(unit.dtype) if ctx.has_bias else None,
            None,
        )


def synchronise(module: nn.Module) -> nn.Module:
    """Replaces the batch norms in a module by synchronised ones, which take over their tensors; other norms stay.

    Does so whatever the number of processes; with one, they norm as before. Returns the module, or what takes its place
    where it is a norm itself.
    """
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return _synchronised(module)
    for name, child in module.named_children():
        taken = synchronise(child)
        if taken is not child:
            setattr(module, name, taken)
    return module


def _synchronised(norm: _BatchNorm) -> SynchronisedNorm:
    taken = SynchronisedNorm(
        norm.num_features, norm.eps, norm.momentum, affine=norm.affine, track_running_stats=norm.track_running_stats
    )
    taken.weight, taken.bias = norm.weight, norm.bias
    taken.running_mean, taken.running_var = norm.running_mean, norm.running_var
    taken.num_batches_tracked = norm.num_batches_tracked
    taken.train(norm.training)
    if isinstance(norm, BatchNormAct2d):
        taken.after = nn.Sequential(norm.drop, norm.act)
    return taken


def _joined(here: Tensor, mean: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance over all processes, and the number of values, from those of each (Chan et al. 1979)."""
    own = torch.cat([here[None], mean, squares])
    parts = [torch.empty_like(own) for _ in range(process_count())]
    dist.all_gather(parts, own)
    every = torch.stack(parts)  # (processes, 1 + 2 C)
    counts, (means, sums) = every[:, :1], every[:, 1:].tensor_split(2, dim=1)
    count = counts.sum()
    joined = (counts * means).sum(dim=0) / count
    variance = (sums + counts * (means - joined).square()).sum(dim=0) / count
    return joined, variance, count


def _wide(rows: Tensor) -> Tensor:
    return rows if rows.dtype == torch.float64 else rows.float()


def _all_but_channels(rows: Tensor) -> list[int]:
    return [axis for axis in range(rows.dim()) if axis != 1]


def _beside(channels: Tensor, rows: Tensor) -> Tensor:
    return channels.view(1, -1, *[1] * (rows.dim() - 2))
