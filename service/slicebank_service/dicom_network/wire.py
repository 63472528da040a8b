"""Protocol data units on a connection (PS3.8 section 9.3), read without holding more than a block of them."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import cast

from slicebank_service.dicom_network.errors import PeerGone, ProtocolError

# A block of pixels on its way to the disk; larger ones were not faster.
_BLOCK_BYTES = 256 * 1024


class PduType(IntEnum):
    """The units that an acceptor meets or sends."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class Wire:
    """One connection. One thread uses it; another may shut the socket down."""

    def __init__(self, connection: socket.socket, *, idle_s: float) -> None:
        """Takes a connected socket over, which stays the caller's to close.

        Args:
            connection: the socket.
            idle_s: how long the peer may be silent, in seconds.
        """
        connection.settimeout(idle_s)
        self._connection = connection
        self._reader = cast("io.BufferedReader", connection.makefile("rb", buffering=_BLOCK_BYTES))
        self._block = memoryview(bytearray(_BLOCK_BYTES))

    def next_unit(self) -> tuple[PduType, int]:
        """Type and length, in bytes, of the next unit; its body is to be read next.

        Raises:
            PeerGone: there is none.
            ProtocolError: a type that nobody knows.
        """
        kind, length = struct.unpack(">BxI", self.read(6))
        try:
            return PduType(kind), length
        except ValueError as error:
            raise ProtocolError("a unit of unknown type") from error

    def read(self, size: int) -> bytes:
        """Exactly so many bytes.

        Raises:
            PeerGone: they do not come.
        """
        try:
            data = self._reader.read(size)
        except OSError as error:
            raise PeerGone("the connection broke or was silent for too long") from error
        if len(data) != size:
            raise PeerGone("the connection was closed")
        return data

    def stream(self, size: int, write: Callable[[memoryview], None]) -> None:
        """Hands exactly so many bytes on, block by block.

        Args:
            size: bytes.
            write: takes a block, which is used again once it returns.

        Raises:
            PeerGone: they do not come.
        """
        while size:
            try:
                got = self._reader.readinto(self._block[: min(size, _BLOCK_BYTES)])
            except OSError as error:
                raise PeerGone("the connection broke or was silent for too long") from error
            if not got:
                raise PeerGone("the connection was closed")
            write(self._block[:got])
            size -= got

    def send(self, kind: PduType, body: bytes) -> None:
        """Sends one unit.

        Raises:
            PeerGone: nobody takes it.
        """
        try:
            self._connection.sendall(struct.pack(">BxI", kind, len(body)) + body)
        except OSError as error:
            raise PeerGone("the connection broke") from error

    def close(self) -> None:
        """Lets go of the socket."""
        self._reader.close()
