"""Metrics for TensorBoard, where it is installed."""

import importlib.util
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from slicebank_models.pretraining.metrics_file import MetricsLine

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FOLDER = "tensorboard"


def has_tensorboard() -> bool:
    """Whether the package `tensorboard` is installed."""
    return importlib.util.find_spec("tensorboard") is not None


class Scalars:
    """Writes lines as TensorBoard's scalars; nothing where TensorBoard is not installed or `folder` is None.

    Args:
        folder: Of the run.
        last_step: Of the checkpoint that the run goes on from; later scalars of before are hidden.
    """

    def __init__(self, folder: Path | None, last_step: int) -> None:
        self._writer = _writer(folder / FOLDER, last_step + 1) if folder is not None and has_tensorboard() else None

    def __enter__(self) -> "Scalars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def append(self, line: MetricsLine) -> None:
        """Adds one line; what was not measured is left out."""
        if self._writer is None:
            return
        values = asdict(line)
        step = values.pop("step")
        for name, value in values.items():
            if value is not None:
                folder = "probe" if name.startswith("probe_") else "training"
                tag = f"{folder}/{name.removeprefix('probe_')}"
                self._writer.add_scalar(tag, value, step)


def _writer(folder: Path, first_step: int) -> "SummaryWriter":
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_step)
