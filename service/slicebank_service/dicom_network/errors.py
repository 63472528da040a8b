"""What ends an association early; none of it leaves this room.

AssociationError
├── PeerGone          the connection ended, or was silent for too long
├── ProtocolError     the peer sends what PS3.7 and PS3.8 do not allow
└── Rejected          the association was refused while it was negotiated
"""

from __future__ import annotations


class AssociationError(Exception):
    """An association cannot go on."""


class PeerGone(AssociationError):
    """The connection ended, or was silent for too long."""


class ProtocolError(AssociationError):
    """The peer sends what the protocol does not allow."""


class Rejected(AssociationError):
    """The association was refused while it was negotiated.

    Attributes:
        result: 1 for good, 2 for now (PS3.8 table 9-21).
        source: 1 the service user, 2 and 3 the provider.
        reason: depends on the source.
    """

    def __init__(self, why: str, *, result: int, source: int, reason: int) -> None:
        super().__init__(why)
        self.result = result
        self.source = source
        self.reason = reason
