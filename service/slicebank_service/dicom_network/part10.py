"""The head of a DICOM file for a data set that came over the network (PS3.10 section 7.1)."""

from __future__ import annotations

import struct

from slicebank_service.dicom_network.negotiation import IMPLEMENTATION_NAME, IMPLEMENTATION_UID

_LONG = frozenset({"OB"})


def file_head(*, sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Preamble and file meta information; the bytes of the data set follow as they came."""
    meta = b"".join(
        (
            _element(0x0001, "OB", b"\x00\x01"),
            _element(0x0002, "UI", _uid(sop_class)),
            _element(0x0003, "UI", _uid(sop_instance)),
            _element(0x0010, "UI", _uid(transfer_syntax)),
            _element(0x0012, "UI", _uid(IMPLEMENTATION_UID)),
            _element(0x0013, "SH", IMPLEMENTATION_NAME.encode().ljust(len(IMPLEMENTATION_NAME) + 1 & ~1)),
        )
    )
    return bytes(128) + b"DICM" + _element(0x0000, "UL", struct.pack("<I", len(meta))) + meta


def _element(element: int, vr: str, value: bytes) -> bytes:
    head = struct.pack("<HH2s", 2, element, vr.encode())
    length = struct.pack("<xxI", len(value)) if vr in _LONG else struct.pack("<H", len(value))
    return head + length + value


def _uid(uid: str) -> bytes:
    data = uid.encode("ascii", "replace")
    return data + b"\0" * (len(data) % 2)
