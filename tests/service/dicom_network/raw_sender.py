"""A sender that speaks the protocol byte by byte, so that tests can stop in the middle of anything."""

from __future__ import annotations

import socket
import struct
from typing import Self

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def context(context_id: int, abstract: str, *transfers: str) -> bytes:
    syntaxes = b"".join(item(0x40, uid.encode()) for uid in transfers)
    return item(0x20, struct.pack(">Bxxx", context_id) + item(0x30, abstract.encode()) + syntaxes)


def association_request(*contexts: bytes, called: str = "SLICEBANK", calling: str = "RAW", version: int = 1) -> bytes:
    user = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3"))
    application = item(0x10, b"1.2.840.10008.3.1.1.1")
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    return struct.pack(">HH", version, 0) + titles + bytes(32) + application + b"".join(contexts) + user


def command(field: int, *, sop_class: str, sop_instance: str = "", has_data: bool = True, message_id: int = 1) -> bytes:
    values = [
        (0x0002, sop_class.encode() + b"\0" * (len(sop_class) % 2)),
        (0x0100, struct.pack("<H", field)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0800, struct.pack("<H", 1 if has_data else 0x0101)),
    ]
    if sop_instance:
        values.append((0x1000, sop_instance.encode() + b"\0" * (len(sop_instance) % 2)))
    return b"".join(struct.pack("<HHI", 0, element, len(value)) + value for element, value in values)


class RawSender:
    """A connection to a listener."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def send(self, kind: int, body: bytes) -> None:
        self.socket.sendall(struct.pack(">BxI", kind, len(body)) + body)

    def value(self, context_id: int, control: int, data: bytes) -> None:
        self.send(4, struct.pack(">IBB", len(data) + 2, context_id, control) + data)

    def unit(self) -> tuple[int, bytes]:
        """Type and body of the next unit; type 0 where the connection has ended."""
        try:
            head = self._exactly(6)
            kind, length = struct.unpack(">BxI", head)
            return kind, self._exactly(length)
        except (EOFError, ConnectionError):
            return 0, b""

    def associate(self, *contexts: bytes) -> None:
        self.send(1, association_request(*(contexts or (context(1, CT, EXPLICIT),))))
        assert self.unit()[0] == 2

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data
