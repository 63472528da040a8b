"""Folds trained side by side: each epoch of a fold is a task for a thread, so that no core waits while folds are left."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import torch

from slicebank_models.errors import TrainingCancelled
from slicebank_models.training.loop import FoldTraining

_LOOK_SECONDS = 0.2  # between two looks at progress while epochs run

Progress = Callable[[int, int], bool]


def train_side_by_side(
    folds: Sequence[FoldTraining], most_steps: int, progress: Progress, device: torch.device
) -> None:
    """Runs every fold to its end.

    On a CPU as many folds run at once as there are threads for, each on its share of them; products of one thread are the
    same whatever else runs. A GPU takes one fold after the other.

    Args:
        folds: Fresh ones.
        most_steps: Optimiser steps that all of them take if none stops early.
        progress: Called in this thread with steps done and the most there can be, again and again; True cancels.
        device: That the folds train on.

    Raises:
        TrainingCancelled: `progress` said so.
        TrainingDiverged: A loss is no number.
    """
    threads = torch.get_num_threads()
    at_once = 1 if device.type == "cuda" else min(len(folds), threads)
    stop = threading.Event()

    def look() -> bool:
        if progress(min(sum(fold.steps for fold in folds), most_steps), most_steps):
            stop.set()
        return stop.is_set()

    if look():
        raise TrainingCancelled("Training was cancelled.")
    try:
        with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)) as pool:
            running: dict[Future[None], FoldTraining] = {
                pool.submit(fold.run_epoch, stop.is_set): fold for fold in folds
            }
            try:
                while running:
                    done, _ = wait(running, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    look()
                    for future in done:
                        fold = running.pop(future)
                        future.result()
                        if not fold.finished:
                            running[pool.submit(fold.run_epoch, stop.is_set)] = fold
            finally:
                stop.set()
    finally:
        # What a thread sets is what threads that start later begin with.
        torch.set_num_threads(threads)
    progress(most_steps, most_steps)
