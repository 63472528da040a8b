from __future__ import annotations

import threading

from slicebank_service.pulse import Pulse


def test_the_answer_is_passed_on() -> None:
    answers = iter([True, False, True])
    pulse = Pulse(lambda: next(answers), patience_s=30)
    assert [pulse.beats() for _ in range(3)] == [True, False, True]


def test_a_question_that_hangs_is_asked_once_and_counts_as_no() -> None:
    asked: list[None] = []
    hanging = threading.Event()

    def ask() -> bool:
        asked.append(None)
        return hanging.wait(60)

    pulse = Pulse(ask, patience_s=0.01)
    assert [pulse.beats() for _ in range(20)] == [False] * 20
    assert len(asked) == 1
    hanging.set()
    patient = Pulse(ask, patience_s=30)
    assert patient.beats()
