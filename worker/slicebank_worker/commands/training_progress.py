"""How a run of pre-training shows itself, and how it is asked to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from slicebank_models.pretraining.metrics_file import MetricsLine
    from slicebank_models.pretraining.training import Progress

# Where no bar can be shown, such as in a log, a line is written this often at most.
LINE_EVERY_S = 30.0


class TrainingProgress:
    """A bar on a terminal; elsewhere a line now and then.

    Args:
        console: Where to show it; a quiet one shows nothing.
        clock: Monotonic, seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._console = console
        self._clock = clock
        self._bars = Bars(
            TextColumn("Step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("", total=None)
        self._said = -LINE_EVERY_S

    def __enter__(self) -> TrainingProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        """Shows one step; notes always."""
        if progress.line is not None:
            self._bars.update(self._task, description=_sentence(progress.line))
        self._bars.update(self._task, completed=progress.step, total=progress.last_step)
        if progress.note:
            self._bars.console.print(progress.note, style="red", markup=False, soft_wrap=True)
        if progress.line is None or self._console.is_terminal:
            return
        now = self._clock()
        if progress.step == progress.last_step or now - self._said >= LINE_EVERY_S:
            self._said = now
            self._console.print(
                f"step {progress.step} of {progress.last_step}: {_sentence(progress.line)}", soft_wrap=True
            )


def _sentence(line: MetricsLine) -> str:
    probe = "" if line.probe_auroc is None else f", probe AUROC {line.probe_auroc:.3f}"
    return f"loss {line.loss:.4f}, {line.slices_per_s:.1f} slices/s{probe}"


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a second one ends the process as it would have without this."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
