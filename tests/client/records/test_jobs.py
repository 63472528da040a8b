"""What held a job back."""

from __future__ import annotations

from typing import Any

import pytest

from slicebank.cli.commands.jobs import bound_phrase
from slicebank.records import Job, decode
from slicebank.records.jobs import bound_by


@pytest.mark.parametrize(
    ("stages", "answer"),
    [
        ({}, None),
        ({"decode_s": 9.0, "transform_s": 9.0, "encode_s": 9.0, "write_s": 9.0}, None),
        ({"decode_wait_s": 0.02, "encode_wait_s": 0.03}, None),
        ({"decode_wait_s": 0.02, "encode_wait_s": 0.04}, "encoder"),
        ({"decode_wait_s": 3.5, "encode_wait_s": 0.25}, "decode"),
        ({"decode_wait_s": 3.5}, "decode"),
        ({"encode_wait_s": 1}, "encoder"),
        ({"encode_wait_s": None, "decode_wait_s": "long", "brand_new_s": {}}, None),
        ({"encode_wait_s": True}, None),
    ],
)
def test_the_longer_wait_bounds(stages: dict[str, Any], answer: str | None) -> None:
    assert bound_by(stages) == answer
    assert decode(Job, {"job_id": "j", "kind": "embed", "state": "succeeded", "stages": stages}).bound_by == answer


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        (
            {"decode_wait_s": 3.5, "encode_wait_s": 0.25},
            "decoding: the job stood still 3.50 s for decoded slices and 0.25 s for the encoder",
        ),
        (
            {"decode_wait_s": 0.25, "encode_wait_s": 3.5},
            "the encoder: the job stood still 3.50 s for it and 0.25 s for decoded slices",
        ),
        ({"decode_s": 1.0}, ""),
    ],
)
def test_a_sentence_says_so(stages: dict[str, Any], text: str) -> None:
    assert bound_phrase(decode(Job, {"job_id": "j", "kind": "embed", "state": "running", "stages": stages})) == text
