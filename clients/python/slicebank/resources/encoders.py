"""`client.encoders`: what can embed."""

from __future__ import annotations

from collections.abc import Iterator

from slicebank.records import Encoder, decode, decode_all
from slicebank.resources.path import url_part
from slicebank.transport import Transport


class EncodersResource:
    """Encoder cards."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Encoder]:
        """Walk the encoders, the default first."""
        return iter(decode_all(Encoder, self._transport.get("/v1/encoders").get("items")))

    def get(self, encoder_id: str) -> Encoder:
        """One card.

        Raises:
            NotFound: no such encoder.
        """
        return decode(Encoder, self._transport.get(f"/v1/encoders/{url_part(encoder_id)}"))
