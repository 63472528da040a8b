"""Association negotiation as the acceptor of storage (PS3.8 sections 9.3.2 to 9.3.4, PS3.7 annex D.3.3)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from slicebank_imaging.classification import CT_CLASSES
from slicebank_imaging.syntaxes import JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR_LOSSLESS, SYNTAXES
from slicebank_imaging.uids import derived_uid
from slicebank_service.dicom_network.errors import ProtocolError, Rejected

IMPLEMENTATION_UID = derived_uid("slicebank listener")
IMPLEMENTATION_NAME = "SLICEBANK"
VERIFICATION = "1.2.840.10008.1.1"

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# What lies beside CT in a study. Many senders give a whole study up where one of its classes is not accepted, so these are taken and
# each instance gets its verdict.
_COMPANIONS = re.compile(
    re.escape(_STORAGE) + r"(7(\.[1-4])?"  # secondary capture
    r"|11\.\d+|88\.\d+|104\.\d+"  # presentation states; reports, key objects and dose; documents
    r"|66(\.[1-8])?|67|30|9\.\d\.\d"  # raw data, registrations, segmentations; value maps; parametric maps; waveforms
    r"|128(\.\d)?|130|20"  # PET and NM, as their scanners send them with the CT
    r"|481\.\d+)"  # radiotherapy
)
_LOSSY = frozenset({JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR_LOSSLESS, JPEG_2000})
_SYNTAXES = {VERIFICATION: frozenset(uid for uid, syntax in SYNTAXES.items() if not syntax.encapsulated)}

_CALLING, _CALLED = slice(20, 36), slice(4, 20)
_ITEMS_FROM = 68

# Results of a presentation context (PS3.8 table 9-18).
_ACCEPTED, _NO_ABSTRACT_SYNTAX, _NO_TRANSFER_SYNTAX = 0, 3, 4


@dataclass(frozen=True, slots=True)
class Proposed:
    """One presentation context that a peer proposes.

    Attributes:
        context_id: odd, 1 to 255.
        abstract_syntax: SOP class UID.
        transfer_syntaxes: UIDs, in the peer's order.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What a peer asks an association for.

    Attributes:
        calling: its AE title, stripped; anything but printable ASCII replaced by "?".
        called: the AE title that it wants, likewise.
        proposed: presentation contexts.
        max_pdu_bytes: longest unit that it takes; 0 for any.
        fixed: the part of the request that an answer repeats.
    """

    calling: str
    called: str
    proposed: tuple[Proposed, ...]
    max_pdu_bytes: int
    fixed: bytes


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


def parse_request(body: bytes) -> Request:
    """Reads the body of an A-ASSOCIATE-RQ.

    Raises:
        ProtocolError: it is none.
        Rejected: a version or an application context that nobody here speaks.
    """
    if len(body) < _ITEMS_FROM:
        raise ProtocolError("an association request that is too short")
    if not struct.unpack_from(">H", body)[0] & 1:
        raise Rejected("protocol_version", result=1, source=2, reason=2)
    proposed = []
    max_pdu_bytes = 0
    for kind, value in _items(body[_ITEMS_FROM:]):
        if kind == 0x10 and _uid(value) != _APPLICATION_CONTEXT:
            raise Rejected("application_context", result=1, source=1, reason=2)
        if kind == 0x20 and len(value) >= 4:
            parts = [(part, _uid(text)) for part, text in _items(value[4:])]
            proposed.append(
                Proposed(
                    value[0],
                    next((uid for part, uid in parts if part == 0x30), ""),
                    tuple(uid for part, uid in parts if part == 0x40),
                )
            )
        if kind == 0x50:
            lengths = [text for part, text in _items(value) if part == 0x51 and len(text) == 4]
            max_pdu_bytes = struct.unpack(">I", lengths[0])[0] if lengths else 0
    return Request(_title(body[_CALLING]), _title(body[_CALLED]), tuple(proposed), max_pdu_bytes, body[4:_ITEMS_FROM])


def accept(request: Request, *, max_pdu_bytes: int) -> tuple[Mapping[int, Context], bytes]:
    """Chooses a transfer syntax for every context that can be served.

    The peer's first lossless one is taken, which spares it a conversion, and a lossy one only where it offers nothing else.

    Args:
        request: what the peer asks for.
        max_pdu_bytes: longest unit that it may send.

    Returns:
        Accepted contexts by id, and the body of the A-ASSOCIATE-AC.
    """
    contexts: dict[int, Context] = {}
    items = [_item(0x10, _APPLICATION_CONTEXT.encode())]
    for proposed in request.proposed:
        known = _known_syntaxes(proposed.abstract_syntax)
        usable = [uid for uid in proposed.transfer_syntaxes if uid in known]
        chosen = next((uid for uid in usable if uid not in _LOSSY), usable[0] if usable else None)
        if chosen is not None:
            contexts[proposed.context_id] = Context(proposed.abstract_syntax, chosen)
            result = _ACCEPTED
        else:
            result = _NO_TRANSFER_SYNTAX if known else _NO_ABSTRACT_SYNTAX
        head = struct.pack(">BxBx", proposed.context_id, result)
        items.append(_item(0x21, head + _item(0x40, (chosen or "").encode())))
    items.append(
        _item(
            0x50,
            _item(0x51, struct.pack(">I", max_pdu_bytes))
            + _item(0x52, IMPLEMENTATION_UID.encode())
            + _item(0x55, IMPLEMENTATION_NAME.encode()),
        )
    )
    return MappingProxyType(contexts), struct.pack(">HH", 1, 0) + request.fixed + b"".join(items)


def _known_syntaxes(abstract_syntax: str) -> frozenset[str]:
    if abstract_syntax in CT_CLASSES or _COMPANIONS.fullmatch(abstract_syntax):
        return frozenset(SYNTAXES)
    return _SYNTAXES.get(abstract_syntax, frozenset())


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise ProtocolError("an item that is cut off")
        kind, size = struct.unpack_from(">BxH", data, at)
        if at + 4 + size > len(data):
            raise ProtocolError("an item longer than what holds it")
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").rstrip("\0 ")


def _title(value: bytes) -> str:
    return re.sub(r"[^ -~]", "?", value.decode("ascii", "replace").strip("\0 "))
