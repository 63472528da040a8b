"""Command sets of C-ECHO and C-STORE (PS3.7 sections 9.3.1 and 9.3.5, annex E): implicit VR, little endian."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from slicebank_service.dicom_network.errors import ProtocolError
from slicebank_service.dicom_network.statuses import Answer

_NO_DATA_SET = 0x0101
_RESPONSE = 0x8000

_GROUP_LENGTH = 0x0000
_SOP_CLASS = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_RESPONDED_TO = 0x0120
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_OFFENDING_ELEMENT = 0x0901
_ERROR_COMMENT = 0x0902
_SOP_INSTANCE = 0x1000

# Error Comment is of VR LO.
_COMMENT_CHARACTERS = 64


class CommandField(IntEnum):
    """The requests that are known here."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    C_CANCEL = 0x0FFF


@dataclass(frozen=True, slots=True)
class Command:
    """A request.

    Attributes:
        field: what is asked, one of `CommandField` or another number.
        message_id: by which the answer names it.
        sop_class: Affected SOP Class UID; may be empty.
        sop_instance: Affected SOP Instance UID; may be empty.
        has_data_set: whether a data set follows.
    """

    field: int
    message_id: int
    sop_class: str
    sop_instance: str
    has_data_set: bool


def parse_command(data: bytes) -> Command:
    """Reads a command set.

    Raises:
        ProtocolError: it is none.
    """
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ProtocolError("a command set that is cut off")
        group, element, size = struct.unpack_from("<HHI", data, at)
        if group != 0 or at + 8 + size > len(data):
            raise ProtocolError("a command set with an element that does not belong there")
        elements[element] = data[at + 8 : at + 8 + size]
        at += 8 + size
    field = _number(elements, _COMMAND_FIELD)
    return Command(
        field=field,
        message_id=_number(elements, _MESSAGE_ID) if _MESSAGE_ID in elements else 0,
        sop_class=_uid(elements.get(_SOP_CLASS, b"")),
        sop_instance=_uid(elements.get(_SOP_INSTANCE, b"")),
        has_data_set=_number(elements, _DATA_SET_TYPE) != _NO_DATA_SET,
    )


def response(command: Command, answer: Answer) -> bytes:
    """The command set that answers a request."""
    elements = [(_SOP_CLASS, _padded(command.sop_class, "\0"))] if command.sop_class else []
    elements += [
        (_COMMAND_FIELD, struct.pack("<H", command.field | _RESPONSE)),
        (_MESSAGE_ID_RESPONDED_TO, struct.pack("<H", command.message_id)),
        (_DATA_SET_TYPE, struct.pack("<H", _NO_DATA_SET)),
        (_STATUS, struct.pack("<H", answer.status)),
    ]
    if answer.element is not None:
        elements.append((_OFFENDING_ELEMENT, struct.pack("<HH", *answer.element)))
    if answer.status:
        comment = f"{answer.code}: {answer.detail}".encode("ascii", "replace").decode().replace("\\", "/")
        elements.append((_ERROR_COMMENT, _padded(comment[:_COMMENT_CHARACTERS], " ")))
    if command.sop_instance:
        elements.append((_SOP_INSTANCE, _padded(command.sop_instance, "\0")))
    body = b"".join(struct.pack("<HHI", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHII", 0, _GROUP_LENGTH, 4, len(body)) + body


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise ProtocolError("a command set without one of its numbers")
    number: int = struct.unpack("<H", value)[0]
    return number


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").rstrip("\0 ")


def _padded(text: str, filler: str) -> bytes:
    data = text.encode("ascii", "replace")
    return data + filler.encode() * (len(data) % 2)
