"""The bags that are trained on, as slicebank writes them: noise, and in every other bag a few rows that stand out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from slicebank_models.heads.targets import Case
    from slicebank_models.training.cross_validation import Splits

DIM, WINDOWS = 576, 2
ENCODER = "mambaout_tiny.untrained"
SHOWING, DISTANCE = 60, 0.1
SEED = 17


def write(folder: Path, n_bags: int, n_rows: int) -> None:
    """Writes `n_bags` bags of `n_rows` rows."""
    from slicebank_models.registry import EncoderRegistry
    from slicebank_service.recipes import recipe_of
    from slicebank_store.bags import BagHeader, BagSlice, BagWriter
    from slicebank_store.types import BagLevel

    recipe = recipe_of(EncoderRegistry().get(ENCODER))
    slices = tuple(BagSlice(float(at), at + 1, f"2.25.{at + 1}", 1) for at in range(n_rows // WINDOWS))
    for number in range(n_bags):
        header = BagHeader(
            name=f"{number:032x}",
            series_uid=f"2.25.{number + 1}",
            revision=1,
            stack=0,
            level=BagLevel.SLICE,
            recipe=recipe,
            content_digest=f"{number:064x}",
            slices=slices,
            geometry={},
            rescale={},
            rows=512,
            columns=512,
            field_of_view_mm=380.0,
            software="slicebank benchmark",
            created_at=0.0,
        )
        part = folder / f"{number}.part"
        writer = BagWriter(part, header, n_slices=len(slices), n_windows=WINDOWS, dim=DIM)
        writer.write_rows(0, _rows(number, n_rows))
        writer.close({})
        part.rename(path(folder, number))


def path(folder: Path, number: int) -> Path:
    """File of one bag."""
    return folder / f"{number}.h5"


def target(number: int) -> int:
    """Answer of one bag."""
    return number % 2


def cases(n_bags: int) -> list[Case]:
    """One a bag and patient."""
    from slicebank_models.heads.targets import Case

    return [Case(number, f"{number:06d}", (target(number),)) for number in range(n_bags)]


def splits(n_bags: int, folds: int) -> list[tuple[list[int], list[int]]]:
    """Bags to train on and to validate on, fold by fold; the same for both sides."""
    planned: Splits = planned_splits(n_bags, folds)
    return [(list(fold.train), list(fold.validation)) for fold in planned.folds]


def planned_splits(n_bags: int, folds: int) -> Splits:
    """The splits of the protocol; positions are numbers of bags."""
    from slicebank_models.heads.protocol import ProtocolSpec
    from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
    from slicebank_models.training.cross_validation import plan_splits

    training = TrainingSpec(folds=folds, test_fraction=0.2, seed=SEED)
    return plan_splits(cases(n_bags), TaskSpec(TaskKind.BINARY, ("lesion",)), training, ProtocolSpec())


def forget(folder: Path, n_bags: int) -> None:
    """Drops the bags from the page cache."""
    for number in range(n_bags):
        descriptor = os.open(path(folder, number), os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _rows(number: int, n_rows: int) -> NDArray[np.float32]:
    generator = np.random.default_rng([SEED, number])
    rows = generator.standard_normal((n_rows, DIM), np.float32)
    if target(number):
        rows[generator.choice(n_rows, SHOWING, replace=False)] += np.float32(DISTANCE)
    return rows
