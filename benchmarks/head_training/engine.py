"""slicebank's side: the cohort read into its cache, folds trained side by side, the whole protocol."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.head_training import cohort

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slicebank_models.training.bag_rows import BagRows

_FOLDS_OF = 5


@dataclass(frozen=True, slots=True)
class Files:
    """Bags of the folder by number: a `BagSource` and `ExpectingBags`, read as a worker reads them."""

    folder: Path

    def expect(self, index: int) -> None:
        """Begins to read one bag."""
        from slicebank_store.bags import read_ahead

        read_ahead(cohort.path(self.folder, index))

    def features(self, index: int) -> NDArray[np.float32]:
        """All rows of one bag."""
        from slicebank_store.bags import read_features

        return read_features(cohort.path(self.folder, index))


_OPEN = ExitStack()
_ROWS: list[BagRows] = []


def measure_reading(folder: Path, n_bags: int, rounds: int) -> dict[str, Any]:
    """Seconds to read the cohort raw and into the cache, cold and warm in turns, medians."""
    from slicebank_models.training.bag_cache import open_cohort

    def raw() -> None:
        for number in range(n_bags):
            cohort.path(folder, number).read_bytes()

    def cached() -> None:
        with open_cohort(Files(folder), range(n_bags), cohort.DIM, folder):
            pass

    seconds: dict[str, list[float]] = {name: [] for name in ("raw_cold", "cache_cold", "raw_warm", "cache_warm")}
    cached()
    for _ in range(rounds):
        for name, read in (("raw", raw), ("cache", cached)):
            cohort.forget(folder, n_bags)
            seconds[f"{name}_cold"].append(_timed(read))
        for name, read in (("raw", raw), ("cache", cached)):
            seconds[f"{name}_warm"].append(_timed(read))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    mib = sum(cohort.path(folder, number).stat().st_size for number in range(n_bags)) / 2**20
    return {
        "mib": mib,
        "seconds": medians,
        "over_raw_cold": medians["cache_cold"] / medians["raw_cold"],
        "over_raw_warm": medians["cache_warm"] / medians["raw_warm"],
    }


def start(folder: Path, n_bags: int) -> None:
    """Opens the cohort, once for all turns."""
    import torch

    from slicebank_models.training.bag_cache import open_cohort
    from slicebank_models.training.bag_rows import BagRows

    cache = _OPEN.enter_context(open_cohort(Files(folder), range(n_bags), cohort.DIM, folder))
    _ROWS.append(BagRows(cache, torch.device("cpu")))


def train(epochs: int) -> None:
    """Trains fresh folds side by side for so many epochs."""
    import torch

    from slicebank_models.cards import EncoderLevel
    from slicebank_models.heads.head_spec import HeadSpec
    from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
    from slicebank_models.training.loop import FoldTraining, Recipe
    from slicebank_models.training.seeding import fold_seed
    from slicebank_models.training.side_by_side import train_side_by_side

    (rows,) = _ROWS
    training = TrainingSpec(max_epochs=epochs, patience=epochs)
    recipe = Recipe(TaskSpec(TaskKind.BINARY, ("signal",)), training, HeadSpec(), cohort.DIM, EncoderLevel.SLICE)
    cases = cohort.cases(len(rows.cache.lengths))
    folds = [
        FoldTraining(
            recipe, rows, [cases[at] for at in fold.train], [cases[at] for at in fold.stopping], fold_seed(0, number)
        )
        for number, fold in enumerate(cohort.planned_splits(len(cases), _FOLDS_OF).folds)
    ]
    train_side_by_side(folds, 1, lambda done, total: False, torch.device("cpu"))


def held_mib() -> float:
    """What the process holds by itself after training, buffers kept for further steps included, MiB.

    Pages of the cohort's file are left out: the system takes them back when it needs them.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def whole_protocol(folder: Path, n_bags: int, epochs: int) -> dict[str, Any]:
    """The paper's protocol from the bags' files to the report."""
    from slicebank_models.cards import EncoderLevel
    from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
    from slicebank_models.training.train_head import train_head

    started = time.perf_counter()
    trained = train_head(
        Files(folder),
        cohort.cases(n_bags),
        TaskSpec(TaskKind.BINARY, ("signal",)),
        TrainingSpec(max_epochs=epochs),
        dim=cohort.DIM,
        level=EncoderLevel.SLICE,
        progress=lambda done, total: False,
        scratch=folder,
    )
    return {
        "seconds": time.perf_counter() - started,
        "epochs": [fold["epochs"] for fold in trained.report["folds"]],
        "auroc": trained.report["pooled"]["auroc"],
        "held_mib": held_mib(),
    }


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
