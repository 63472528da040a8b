from __future__ import annotations

from io import BytesIO

import pytest
from pynetdicom.dsutils import decode

from slicebank_imaging.errors import (
    BadHeader,
    BurnedInAnnotation,
    Localizer,
    NotAnImage,
    NotCT,
    NotGrayscale,
    TruncatedFile,
)
from slicebank_imaging.verdicts import VERDICTS
from slicebank_service.dicom_network.errors import ProtocolError
from slicebank_service.dicom_network.messages import parse_command, response
from slicebank_service.dicom_network.statuses import TAKEN, of_verdict

from .raw_sender import CT, command


def test_a_request_is_read() -> None:
    parsed = parse_command(command(1, sop_class=CT, sop_instance="1.2.3", message_id=7))
    assert (parsed.field, parsed.message_id, parsed.sop_class, parsed.sop_instance) == (1, 7, CT, "1.2.3")
    assert parsed.has_data_set
    assert not parse_command(command(0x30, sop_class="1.2", has_data=False)).has_data_set


def test_the_answer_is_one_that_another_implementation_reads() -> None:
    asked = parse_command(command(1, sop_class=CT, sop_instance="1.2.3", message_id=7))
    answer = of_verdict(BadHeader("a sentence about Rows \\ and more " + "x" * 80, tag="(0028,0010) Rows"))
    read = decode(BytesIO(response(asked, answer)), True, True)
    assert read.CommandField == 0x8001
    assert read.MessageIDBeingRespondedTo == 7
    assert read.Status == 0xA900
    assert read.OffendingElement == 0x00280010
    assert len(read.ErrorComment) == 64
    assert read.ErrorComment.startswith("bad_header: a sentence about Rows / and")
    assert read.AffectedSOPInstanceUID == "1.2.3"
    good = decode(BytesIO(response(asked, TAKEN)), True, True)
    assert good.Status == 0
    assert "ErrorComment" not in good
    assert good.CommandGroupLength == len(response(asked, TAKEN)) - 12


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0", b"\x08\0\x16\0\0\0\0\0", b"\0\0\0\1\xff\0\0\0x", b"\0\0\0\1\1\0\0\0x"]
)
def test_what_is_no_command_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_command(data)


def test_what_is_left_out_is_a_warning_and_what_is_broken_a_failure() -> None:
    for left_out in (NotCT, Localizer, NotAnImage, NotGrayscale, BurnedInAnnotation):
        assert of_verdict(left_out("why")).status == 0xB006
    assert of_verdict(TruncatedFile("why")).status == VERDICTS["truncated_file"].failure_reason == 0xC000
