import threading
import time

import pytest

from slicebank_worker.pretraining.decoding import default_workers, in_order
from slicebank_worker.pretraining.left_out import MOST, LeftOut


def test_results_come_in_order_whatever_takes_long() -> None:
    def slow_when_even(number: int) -> int:
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(in_order(slow_when_even, range(20), 4)) == list(range(20))


def test_no_more_than_a_few_are_ahead() -> None:
    drawn = []

    def items() -> range:
        return range(100)

    made = in_order(lambda number: number, (drawn.append(number) or number for number in items()), 3)  # type: ignore[func-returns-value]
    assert next(made) == 0
    assert len(drawn) <= 2 * 3
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_what_is_raised_is_raised_in_its_turn() -> None:
    def fail_at_three(number: int) -> int:
        if number == 3:
            raise ValueError(number)
        return number

    made = in_order(fail_at_three, range(10), 2)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(made)


def test_there_is_a_thread_at_least() -> None:
    assert default_workers() >= 1


def test_sentences_end_in_one_stop_and_are_counted_beyond_ten_thousand() -> None:
    left_out = LeftOut()
    for number in range(MOST + 3):
        left_out.add(f"line {number}" + "." * (number % 2))
    sentences = left_out.sentences()
    assert sentences[0] == "line 0."
    assert sentences[1] == "line 1."
    assert len(sentences) == MOST + 1
    assert sentences[-1] == "3 more things were left out."
