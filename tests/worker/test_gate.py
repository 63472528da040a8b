"""A lonely job runs beside no other and is not kept waiting for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from slicebank_worker.gate import Gate


def test_ordinary_jobs_run_side_by_side() -> None:
    gate, meet = Gate(), threading.Barrier(3)

    def job() -> None:
        with gate.enter(alone=False):
            meet.wait(30)

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(job) for _ in range(3)]:
            future.result(30)


def test_a_lonely_job_is_alone_and_goes_before_later_ones() -> None:
    gate = Gate()
    order: list[str] = []
    inside, leave, queued = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with gate.enter(alone=False):
            inside.set()
            assert leave.wait(30)
            order.append("first")

    def lonely() -> None:
        queued.set()
        with gate.enter(alone=True):
            assert gate._inside == 1
            order.append("lonely")

    def later() -> None:
        with gate.enter(alone=False):
            order.append("later")

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(first)]
        assert inside.wait(30)
        futures.append(pool.submit(lonely))
        assert queued.wait(30)
        while gate._lonely_waiting == 0:
            threading.Event().wait(0.001)
        futures.append(pool.submit(later))
        leave.set()
        for future in futures:
            future.result(30)
    assert order == ["first", "lonely", "later"]
