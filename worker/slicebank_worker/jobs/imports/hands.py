"""The hands that run imports: a study that a PACS sends slowly must not keep the device waiting, nor a full device a study."""

from __future__ import annotations

import threading
from types import TracebackType

import structlog

from slicebank_store.types import JobKind
from slicebank_worker.jobs.outcome import JobRunner, run_jobs
from slicebank_worker.runtime import Runtime
from slicebank_worker.slots import Slots

log = structlog.get_logger()

# The sweeper rings when an import is due; this is only how long a hand may sleep if it dies.
_LONGEST_SLEEP_S = 30.0
_KINDS = tuple(kind for kind in JobKind if kind.transfers)


class ImportHands:
    """Threads that run imports, and pulls of weights, while inside. They find their jobs in the catalogue, and need no messages."""

    def __init__(self, runtime: Runtime, runner: JobRunner, at_once: int) -> None:
        """Prepares the threads; they start on entering.

        Args:
            runtime: the process's collaborators.
            runner: does the work of one job.
            at_once: how many jobs run side by side.
        """
        self._runtime = runtime
        self._runner = runner
        self._slots = Slots(at_once)
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"import-{number}", daemon=True) for number in range(at_once)
        ]

    def __enter__(self) -> ImportHands:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Jobs in hand hear of the process's end by their holds.
        self._runtime.leases.stopping.set()
        self._ended.set()
        self._runtime.sweeper.imports.ring()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        bell, heard = self._runtime.sweeper.imports, 0
        while not self._ended.is_set():
            try:
                run_jobs(self._runtime, JobKind.IMPORT.queue, self._runner, kinds=_KINDS, slots=self._slots)
            except Exception:  # the job's lease runs out, and another hand finds it
                log.exception("import_hand_failed")
            if not self._ended.is_set():
                heard = bell.wait(heard, _LONGEST_SLEEP_S)
