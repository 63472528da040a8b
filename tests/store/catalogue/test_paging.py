from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.catalogue.paging import decode_cursor, encode_cursor
from slicebank_store.errors import BadCursor
from slicebank_store.types import JobKind

from ..builders import PROJECT, Clock


@settings(deadline=None)
@given(st.floats(0, 1e11), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=64))
def test_cursors_come_back_exactly(time: float, identifier: str) -> None:
    cursor = encode_cursor(time, identifier)
    assert decode_cursor(cursor) == (time, identifier)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?#%")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_other_texts_are_no_cursors(text: str) -> None:
    with pytest.raises(BadCursor):
        decode_cursor(text)


@pytest.mark.parametrize(
    "value",
    [
        *([1], [1, 2], ["a", "b"], {}, None, [1, "a", "b"]),
        *([10**400, "a"], [float("nan"), "a"], [float("inf"), "a"], [1, "\ud800"], [1, "a\0"]),
    ],
)
def test_other_json_is_no_cursor(value: object) -> None:
    with pytest.raises(BadCursor):
        decode_cursor(base64.urlsafe_b64encode(json.dumps(value).encode()).decode())


def test_depth_is_no_cursor() -> None:
    with pytest.raises(BadCursor):
        decode_cursor(base64.urlsafe_b64encode(b"[" * 100_000).decode())


def test_pages_give_every_row_once_newest_first(catalogue: Catalogue, clock: Clock) -> None:
    made = []
    for number in range(23):
        if number % 3:  # several rows of one moment
            clock.advance(1)
        made.append(catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN)))
    expected = [job.job_id for job in sorted(made, key=lambda job: (job.created_at, job.job_id), reverse=True)]
    for limit in (1, 5, 22, 23, 24):
        found: list[str] = []
        cursor = None
        while True:
            page = catalogue.jobs.list(PROJECT, limit=limit, cursor=cursor)
            assert len(page.items) <= limit
            found += [job.job_id for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == expected


def test_rows_added_meanwhile_do_not_shift_pages(catalogue: Catalogue, clock: Clock) -> None:
    for _ in range(4):
        clock.advance(1)
        catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN))
    first = catalogue.jobs.list(PROJECT, limit=2)
    clock.advance(1)
    catalogue.jobs.create(NewJob(PROJECT, JobKind.TRAIN))
    second = catalogue.jobs.list(PROJECT, limit=2, cursor=first.next_cursor)
    assert not {job.job_id for job in first.items} & {job.job_id for job in second.items}
    assert second.next_cursor is None
