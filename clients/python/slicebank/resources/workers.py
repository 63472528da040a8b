"""`client.workers`: who is at work."""

from __future__ import annotations

from collections.abc import Iterator

from slicebank.records import Worker, decode_all
from slicebank.transport import Transport


class WorkersResource:
    """Living workers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Worker]:
        """Walk the living workers, by role and name; one that was killed is among them for some seconds more.

        Raises:
            ServerFault: the server's broker, which alone knows them, is away.
        """
        return iter(decode_all(Worker, self._transport.get("/v1/workers").get("items")))
