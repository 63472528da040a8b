"""The loop that anyone would write: one HDF5 an item, DataLoader workers, 512 rows a bag, one fold after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

ROWS, BATCH, WORKERS = 512, 128, 2
LEARNING_RATE, WIDTH = 1e-4, 256

_FOLDS: list[Fold] = []


class Items:
    """Map-style data set: 512 rows of a bag, and its answer."""

    def __init__(self, folder: Path, numbers: Sequence[int]) -> None:
        self._folder = folder
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        import h5py
        import torch

        from benchmarks.head_training import cohort

        number = self._numbers[place]
        with h5py.File(cohort.path(self._folder, number), "r") as file:
            rows = torch.from_numpy(file["feats"][:])
        if len(rows) > ROWS:
            rows = rows[torch.randperm(len(rows))[:ROWS].sort().values]
        elif len(rows) < ROWS:
            rows = torch.cat([rows, rows.new_zeros(ROWS - len(rows), rows.shape[1])])
        return rows, torch.tensor([float(cohort.target(number))])


class Fold:
    """One fold's network, optimiser and loaders."""

    def __init__(self, folder: Path, train: Sequence[int], validation: Sequence[int]) -> None:
        import torch
        from torch.utils.data import DataLoader

        self._train, self._validation = (
            DataLoader(
                Items(folder, numbers),  # type: ignore[arg-type]
                batch_size=BATCH,
                shuffle=shuffle,
                num_workers=WORKERS,
                persistent_workers=True,
            )
            for numbers, shuffle in ((train, True), (validation, False))
        )
        self._network = _network()
        self._optimiser = torch.optim.AdamW(self._network.parameters(), lr=LEARNING_RATE)

    def epoch(self) -> float:
        """Trains on every training bag once; returns the validation loss."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as loss_of

        self._network.train()
        for rows, answers in self._train:
            loss = loss_of(self._network(rows), answers)
            self._optimiser.zero_grad()
            torch.autograd.backward([loss])
            self._optimiser.step()
        self._network.eval()
        with torch.inference_mode():
            losses = [(float(loss_of(self._network(r), a)), len(a)) for r, a in self._validation]
        return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)


def start(folder: Path, splits: Sequence[tuple[list[int], list[int]]]) -> None:
    """Builds the folds; the workers start at their first epoch."""
    _FOLDS.extend(Fold(folder, train, validation) for train, validation in splits)


def train(epochs: int) -> None:
    """Trains every fold for so many epochs, one fold after the other."""
    for fold in _FOLDS:
        for _ in range(epochs):
            fold.epoch()


def peak_mib() -> float:
    """Most that the process held, MiB; its workers are left out."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _network() -> nn.Module:
    import torch
    from torch import nn

    from benchmarks.head_training import cohort

    class Published(nn.Module):
        """CLEAR's layers, eq. 3; zero rows that pad a bag take part in the softmax, as published."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(cohort.DIM, WIDTH), nn.ReLU())
            self.attention = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))
            self.classifier = nn.Sequential(
                nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5), nn.SiLU(), nn.Linear(WIDTH, 1)
            )

        def forward(self, rows: Any) -> Any:
            hidden = self.encoder(rows)
            weights = torch.softmax(self.attention(hidden), dim=1)
            return self.classifier((weights * hidden).sum(dim=1))

    return Published()
