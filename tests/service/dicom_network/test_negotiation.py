from __future__ import annotations

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC

from slicebank_imaging.syntaxes import SYNTAXES
from slicebank_service.dicom_network.errors import ProtocolError, Rejected
from slicebank_service.dicom_network.negotiation import accept, parse_request

from .raw_sender import CT, EXPLICIT, VERIFICATION, association_request, context, item

J2K_LOSSLESS, J2K, JPEG_BASELINE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.50"


def chosen(abstract: str, *transfers: str) -> str | None:
    accepted, _ = accept(parse_request(association_request(context(1, abstract, *transfers))), max_pdu_bytes=4096)
    return accepted[1].transfer_syntax if 1 in accepted else None


@pytest.mark.parametrize("syntax", sorted(SYNTAXES))
def test_every_syntax_that_is_decoded_is_accepted(syntax: str) -> None:
    assert chosen(CT, syntax) == syntax


def test_the_first_lossless_syntax_is_chosen() -> None:
    assert chosen(CT, J2K, J2K_LOSSLESS, EXPLICIT) == J2K_LOSSLESS
    assert chosen(CT, EXPLICIT, J2K_LOSSLESS) == EXPLICIT
    assert chosen(CT, JPEG_BASELINE) == JPEG_BASELINE
    assert chosen(CT, "1.2.840.10008.1.2.4.53") is None


@pytest.mark.parametrize(
    "suffix", ["2", "2.1", "2.2", "7", "7.4", "88.22", "88.59", "88.67", "66", "66.4", "11.1", "104.1", "481.3", "128"]
)
def test_companions_of_ct_are_accepted(suffix: str) -> None:
    assert chosen(f"1.2.840.10008.5.1.4.1.1.{suffix}", EXPLICIT) == EXPLICIT


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.3", ""])
def test_other_classes_are_not(uid: str) -> None:
    assert chosen(uid, EXPLICIT) is None


def test_the_answer_is_one_that_another_implementation_reads() -> None:
    request = parse_request(
        association_request(
            context(1, CT, J2K, EXPLICIT), context(3, "1.2.3", EXPLICIT), context(5, VERIFICATION, EXPLICIT, "1.2")
        )
    )
    _, body = accept(request, max_pdu_bytes=65536)
    answer = A_ASSOCIATE_AC()
    answer.decode(b"\x02\x00" + len(body).to_bytes(4, "big") + body)
    primitive = answer.to_primitive()
    results = {cx.context_id: cx.result for cx in primitive.presentation_context_definition_results_list}
    assert results == {1: 0, 3: 3, 5: 0}
    assert primitive.maximum_length_received == 65536
    assert (primitive.called_ae_title, primitive.calling_ae_title) == ("SLICEBANK", "RAW")


def test_titles_are_printable() -> None:
    request = parse_request(association_request(calling="a\x00\x1b[1m\x7f"))
    assert request.calling == "a??[1m?"


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(ProtocolError):
        parse_request(bytes(20))
    with pytest.raises(ProtocolError):
        parse_request(association_request() + b"\x20\x00\xff\xff")
    with pytest.raises(ProtocolError):
        parse_request(association_request() + item(0x20, b"\x01\0\0\0\x30\0\0\x09x"))
    with pytest.raises(Rejected):
        parse_request(association_request(version=2))
    with pytest.raises(Rejected):
        parse_request(association_request() + item(0x10, b"1.2.3"))
