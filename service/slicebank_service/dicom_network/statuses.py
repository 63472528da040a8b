"""What senders are told of an instance (PS3.4 table B.2-1, PS3.7 annex C)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.verdicts import (
    CANNOT_UNDERSTAND,
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    VERDICTS,
)

ACCEPTED = "accepted"
UNRECOGNISED_OPERATION = 0x0211

ELEMENTS_DISCARDED = 0xB006
"""A warning. Senders count it as sent, and go on."""

# What is left out of a study because slicebank has no use for it. A failure would be no news to the sender's user, and many PACS send a
# study with one failure again and again, or stop in the middle of it.
_LEFT_OUT = frozenset({"not_ct", "localizer", "not_an_image", "not_grayscale", "burned_in_annotation"})

_TAG = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender is told of one request.

    Attributes:
        status: the DIMSE status.
        code: `accepted`, or a code of docs/errors.md.
        detail: a sentence without any value that could be a name.
        element: group and element at fault; None where none is.
    """

    status: int
    code: str = ACCEPTED
    detail: str = ""
    element: tuple[int, int] | None = None

    @property
    def taken(self) -> bool:
        """Whether the instance will be taken in."""
        return self.status == SUCCESS


TAKEN = Answer(SUCCESS)
PROCESSING_FAILED = Answer(PROCESSING_FAILURE, "internal_error", "the instance could not be handled; send it again")
WRONG_CONTEXT = Answer(
    SOP_CLASS_NOT_SUPPORTED, "bad_header", "the SOP class of the request is not that of its presentation context"
)
UNKNOWN_OPERATION = Answer(UNRECOGNISED_OPERATION, "bad_request", "only C-ECHO and C-STORE are served here")
MISMATCH = Answer(
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "bad_header", "request and data set name different SOP classes or instances"
)


def of_verdict(error: ImagingError) -> Answer:
    """What imaging's refusal of a file means to its sender."""
    verdict = VERDICTS.get(error.code)
    status = verdict.failure_reason if verdict is not None and verdict.failure_reason else CANNOT_UNDERSTAND
    if error.code in _LEFT_OUT:
        status = ELEMENTS_DISCARDED
    found = _TAG.match(error.tag or "")
    element = None if found is None else (int(found.group(1), 16), int(found.group(2), 16))
    return Answer(status, error.code, error.detail, element)


def out_of_resources(code: str, detail: str) -> Answer:
    """The instance cannot be kept now; sending it later may help."""
    return Answer(OUT_OF_RESOURCES, code, detail)
