"""Bags of different lengths laid end to end: (T, d) rows and the length of each bag. Nothing is padded."""

import torch
from torch import Tensor


def bag_of_row(lengths: Tensor) -> Tensor:
    """Returns the bag number of every row, int64 (T,), from int64 lengths (B,)."""
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def bag_softmax(logits: Tensor, lengths: Tensor) -> Tensor:
    """Returns the softmax of (T,) logits within each bag."""
    bag = bag_of_row(lengths)
    highest = torch.full((len(lengths),), -torch.inf, dtype=logits.dtype, device=logits.device)
    highest = highest.scatter_reduce(0, bag, logits.detach(), reduce="amax")
    powers = torch.exp(logits - highest[bag])
    totals = torch.zeros(len(lengths), dtype=logits.dtype, device=logits.device).index_add(0, bag, powers)
    return powers / totals[bag]


def bag_sum(rows: Tensor, lengths: Tensor) -> Tensor:
    """Returns the sum of (T, d) rows within each bag, (B, d)."""
    sums = torch.zeros((len(lengths), rows.shape[1]), dtype=rows.dtype, device=rows.device)
    return sums.index_add(0, bag_of_row(lengths), rows)
