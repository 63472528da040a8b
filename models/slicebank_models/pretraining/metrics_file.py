"""metrics.csv: one line a logged step, never two of one step, and none that a resumed run has yet to come to."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, get_type_hints

NAME = "metrics.csv"
# What the clock decides, beside what seed and slices decide.
CLOCKED = ("slices_per_s", "seconds")


@dataclass(frozen=True, slots=True)
class MetricsLine:
    """What is known of one step; None where it was not measured.

    Attributes:
        step: Steps done, this one counted.
        epoch: Passes over the slices done, fractions counted.
        loss: Of this step's global batch.
        lr: Learning rate of this step.
        momentum: Of the momentum encoder in this step.
        accuracy: Share of the queries that are nearest to their own key among all keys of the batch.
        feature_std: Standard deviation over the batch of the encoder's features, divided by their lengths, mean over their
            dimensions and times sqrt(dim): 0 where all slices look alike to it, at most 1.
        alignment: Mean squared distance of a query and its key, both of length 1 (Wang & Isola 2020).
        uniformity: Logarithm of the mean of exp(-2 * squared distance) over pairs of queries (Wang & Isola 2020); 0 where
            all are one point.
        slices_per_s: Of all processes, since the line before; without probes and checkpoints.
        seconds: Of training so far, over all resumptions.
        probe_auroc: Of the linear probe on held-out patients, macro mean where there are several classes.
        probe_balanced_accuracy: The same probe's.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    momentum: float
    accuracy: float
    feature_std: float
    alignment: float
    uniformity: float
    slices_per_s: float
    seconds: float
    probe_auroc: float | None = None
    probe_balanced_accuracy: float | None = None


COLUMNS = tuple(entry.name for entry in fields(MetricsLine))


class MetricsFile:
    """Appends lines; begins by dropping those of steps after `last_step`, and a last line that was cut off.

    Args:
        folder: Of the run; None for a process that writes nothing.
        last_step: Of the checkpoint that the run goes on from; 0 at the beginning.
    """

    def __init__(self, folder: Path | None, last_step: int) -> None:
        self._file: TextIO | None = None
        if folder is None:
            return
        kept = [line for line in read_metrics(folder) if line.step <= last_step]
        path = folder / NAME
        fresh = path.with_name(f"{NAME}.tmp")
        fresh.write_text(_text(COLUMNS, *map(_cells, kept)), encoding="utf-8")
        fresh.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "MetricsFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, line: MetricsLine) -> None:
        """Writes a line, whole, to the end of the file, and to the disk."""
        if self._file is not None:
            self._file.write(_text(_cells(line)))
            self._file.flush()
            os.fsync(self._file.fileno())


def read_metrics(folder: Path) -> list[MetricsLine]:
    """Lines of a run's metrics.csv, in their order; empty where it has none.

    A line that a killed process left unfinished is left out.
    """
    path = folder / NAME
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return list(_lines(whole))


def _lines(text: str) -> Iterator[MetricsLine]:
    types = get_type_hints(MetricsLine)
    for row in csv.DictReader(io.StringIO(text, newline="")):
        read: dict[str, Any] = {
            name: int(row[name]) if types[name] is int else float(row[name]) if row.get(name) else None
            for name in COLUMNS
        }
        yield MetricsLine(**read)


def _text(*rows: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cells(line: MetricsLine) -> list[str]:
    # Nine digits tell every float32 from every other.
    return [
        "" if value is None else format(value, "d" if isinstance(value, int) else ".9g")
        for value in asdict(line).values()
    ]
