"""Where training gets its rows from, and how rows of many bags are laid end to end."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class BagSource(Protocol):
    """Stored bags by index; the implementation chooses windows and reads files."""

    def features(self, index: int) -> NDArray[np.float32]:
        """Returns the (N, d) rows of one bag, N at least 1."""
        ...


@runtime_checkable
class NamedBags(Protocol):
    """A source that knows its bags by something that no installation, encoder or order of arrival changes.

    Splits, initial weights and batches follow the order of these names, so that training again elsewhere, or with the bags
    of another encoder, gives the same folds. Bags of other sources are known by the digest of their rows.
    """

    def name(self, index: int) -> str:
        """Returns the bag's name, for instance the content digest of its series."""
        ...


@runtime_checkable
class ExpectingBags(Protocol):
    """A source that can begin to fetch a bag before it is asked for it."""

    def expect(self, index: int) -> None:
        """Is told that a bag will be asked for soon; returns at once."""
        ...


def pack(bags: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Lays bags end to end: (T, d) float32 rows and (B,) int64 lengths."""
    return torch.from_numpy(np.concatenate(bags)), torch.tensor([len(bag) for bag in bags])
