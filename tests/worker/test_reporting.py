"""A worker tells of itself while it lives, and takes its leave."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from slicebank_store.workers import WorkerStatus
from slicebank_worker.reporting import Reporter


class FakeBoard:
    """Takes the place of the worker board and remembers what was told; lets tests wait for posts."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._changed = threading.Condition()

    def post(self, status: WorkerStatus) -> None:
        with self._changed:
            self.told.append(f"{status.name} {status.jobs}")
            self._changed.notify_all()

    def withdraw(self, name: str) -> None:
        self.told.append(f"{name} gone")

    def wait_for(self, posts: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= posts, 30)


def describing(*failing: int) -> Callable[[], WorkerStatus]:
    """Describes a worker whose `jobs` count the calls; those named fail."""
    calls = iter(range(10**9))

    def describe() -> WorkerStatus:
        call = next(calls)
        if call in failing:
            raise RuntimeError("the engine is being built")
        return WorkerStatus(name="w", role="embed", device="cpu", started_at=0.0, seen_at=0.0, jobs=call)

    return describe


def test_it_reports_at_once_and_again_and_withdraws_last() -> None:
    board = FakeBoard()
    with Reporter(board, describing(), 0.001):  # type: ignore[arg-type]
        board.wait_for(3)
    assert board.told[:3] == ["w 0", "w 1", "w 2"]
    assert board.told[-1] == "w gone"
    assert board.told.count("w gone") == 1


def test_it_does_not_wait_for_its_next_report_to_end() -> None:
    board = FakeBoard()
    with Reporter(board, describing(), 3600.0):  # type: ignore[arg-type]
        board.wait_for(1)
    assert board.told == ["w 0", "w gone"]


def test_a_report_that_fails_is_left_out() -> None:
    board = FakeBoard()
    with capture_logs() as logs, Reporter(board, describing(0, 1, 3), 0.001):  # type: ignore[arg-type]
        board.wait_for(3)
    assert board.told[:3] == ["w 2", "w 4", "w 5"]
    assert [line["event"] for line in logs] == ["worker_not_described"] * 2, "once a series of failures"


def test_who_never_reported_is_not_withdrawn() -> None:
    board = FakeBoard()
    with capture_logs(), Reporter(board, describing(*range(10**6)), 3600.0):  # type: ignore[arg-type]
        pass
    assert board.told == []


def test_it_leaves_when_the_work_ends_in_an_error() -> None:
    board = FakeBoard()

    def work() -> None:
        with Reporter(board, describing(), 3600.0):  # type: ignore[arg-type]
            board.wait_for(1)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert board.told == ["w 0", "w gone"]
