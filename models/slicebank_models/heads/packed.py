"""Bags of different lengths laid end to end: (T, d) rows and the length of each bag. Nothing is padded."""

import torch
from torch import Tensor


def bag_of_row(lengths: Tensor, n_rows: int | None = None) -> Tensor:
    """Returns the bag number of every row, int64 (T,), from int64 lengths (B,).

    Args:
        lengths: Rows of each bag.
        n_rows: T, where it is known: a GPU then need not wait for the sum of the lengths.
    """
    bags = torch.arange(len(lengths), device=lengths.device)
    return torch.repeat_interleave(bags, lengths, output_size=n_rows)


def bag_softmax(logits: Tensor, lengths: Tensor) -> Tensor:
    """Returns the softmax of (T,) or (T, n) logits within each bag, by column."""
    if len(lengths) == 1:  # an answer: a fifth of its time would go into finding which bag a row belongs to
        return torch.softmax(logits, dim=0)
    bag = bag_of_row(lengths, len(logits))
    columns = logits.shape[1:]
    index = bag.view(-1, *(1 for _ in columns)).expand_as(logits)
    highest = torch.full((len(lengths), *columns), -torch.inf, dtype=logits.dtype, device=logits.device)
    highest = highest.scatter_reduce(0, index, logits.detach(), reduce="amax")
    powers = torch.exp(logits - highest[bag])
    totals = torch.zeros((len(lengths), *columns), dtype=logits.dtype, device=logits.device).index_add(0, bag, powers)
    return powers / totals[bag]


def bag_sum(rows: Tensor, lengths: Tensor) -> Tensor:
    """Returns the sum of (T, d) rows within each bag, (B, d)."""
    sums = torch.zeros((len(lengths), rows.shape[1]), dtype=rows.dtype, device=rows.device)
    return sums.index_add(0, bag_of_row(lengths, len(rows)), rows)


def bag_weighted_sums(weights: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
    """Returns, for each of n columns of weights, the weighted sum of the rows within each bag, (B, n, d).

    Args:
        weights: (T, n).
        rows: (T, d).
        lengths: (B,).
    """
    # Bag by bag: weights times rows for all at once would be (T, n, d).
    return torch.stack([part.T @ bag for part, bag in zip(split(weights, lengths), split(rows, lengths), strict=True)])


def split(rows: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    """Returns the rows of each bag, views."""
    return torch.split(rows, lengths.tolist())
