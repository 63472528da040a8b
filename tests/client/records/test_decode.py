"""From JSON to records: tolerant of what is new, strict about what is wrong."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank import Bag, Encoder, Head, Job, Prediction, Series, Upload, UploadedSeries, Worker, errors
from slicebank.records import Rejected, decode, decode_all

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
RECORDS = [Bag, Encoder, Head, Job, Prediction, Series, UploadedSeries, Worker]


@pytest.mark.parametrize("record", RECORDS, ids=lambda item: item.__name__)
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_whatever_comes_is_a_record_or_an_unexpected_answer(record: type, data: st.DataObject) -> None:
    fields = st.sampled_from(sorted(record.__dataclass_fields__))  # type: ignore[attr-defined]
    content = data.draw(st.dictionaries(fields, JSON_VALUES, max_size=6))
    with contextlib.suppress(errors.UnexpectedAnswer):
        assert isinstance(decode(record, content), record)


def test_unknown_fields_are_kept_aside() -> None:
    found = decode(Series, {"series_uid": "1", "brand_new": [1, 2]})
    assert found.raw["brand_new"] == [1, 2]
    assert found == decode(Series, {"series_uid": "1"})


def test_null_takes_the_default() -> None:
    assert decode(Head, {"head_id": "h", "metrics": None}).metrics == {}


@pytest.mark.parametrize(
    "data",
    [{}, {"series_uid": 3}, {"series_uid": "1", "n_slices": "many"}, {"series_uid": "1", "n_slices": True}, [], None],
)
def test_wrong_types_are_named(data: Any) -> None:
    with pytest.raises(errors.UnexpectedAnswer, match="Series"):
        decode(Series, data)


def test_whole_numbers_serve_as_floats_and_not_the_other_way() -> None:
    assert decode(Job, {"job_id": "j", "kind": "embed", "state": "queued", "eta_seconds": 3}).eta_seconds == 3.0
    with pytest.raises(errors.UnexpectedAnswer):
        decode(Job, {"job_id": "j", "kind": "embed", "state": "queued", "attempts": 1.5})


def test_lists() -> None:
    assert decode_all(Rejected, None) == ()
    with pytest.raises(errors.UnexpectedAnswer):
        decode_all(Rejected, {"name": "x"})


def test_uploads_add_up() -> None:
    one = Upload(series=(UploadedSeries("1", job_id="j", bag_id="b"),))
    two = Upload(series=(UploadedSeries("2", job_id="j", bag_id="b"),), rejected=(Rejected("x"),))
    assert len(one + two) == 2
    assert (one + two).job_ids == ("j",)
    assert (one + two).rejected == (Rejected("x"),)


def test_untrained_encoders_say_so() -> None:
    assert decode(Encoder, {"id": "x", "weights": "seeded"}).untrained
    assert decode(Encoder, {"id": "x", "weights": "present", "trained": False}).untrained
    assert not decode(Encoder, {"id": "x", "weights": "present"}).untrained
