"""A TCP proxy that can refuse, break and delay connections, between the processes of slicebank and a server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from tests.cluster.processes import free_ports

T = TypeVar("T")

_CHUNK = 1 << 16
# Closing then sends a reset at once (socket(7), SO_LINGER): what a crash or a firewall does, not an orderly end.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """One listening port that leads to one server.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        """Prepares a proxy that lives on a loop of another thread.

        Args:
            loop: runs for as long as the proxy.
            target: port of the server on 127.0.0.1.
        """
        self._loop = loop
        self._target = target
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_ports(1)[0]
        self._call(self._listen())

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._writers) // 2

    def refuse(self) -> None:
        """Closes the port and breaks every connection, until `accept`."""
        self._call(self._refuse())

    def accept(self) -> None:
        """Opens the port again."""
        self._call(self._listen())

    def drop(self) -> int:
        """Breaks every connection in the middle of whatever it carries; how many there were."""
        return self._call(self._drop())

    def delay(self, seconds: float) -> None:
        """Holds back every piece that comes from now on, in either direction; 0 ends that."""
        self._delay_s = seconds

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None
        await self._drop()

    async def _drop(self) -> int:
        count = self.connections
        for writer in list(self._writers):
            carrier: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the server is down: whoever asked sees a connection that breaks
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        try:
            await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))
        finally:
            self._writers -= {writer, there_writer}
            writer.transport.abort()
            there_writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hands bytes on until either side ends; a broken side breaks the other."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(piece)
                await writer.drain()
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
                return
        writer.transport.abort()


class Proxies:
    """A proxy for each server, on a thread of their own; use it as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self.named: dict[str, Proxy] = {}

    def front(self, name: str, port: int) -> int:
        """Puts a proxy before a server; the port to use in its place."""
        self.named[name] = Proxy(self._loop, port)
        return self.named[name].port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self.named.values():
            proxy.refuse()
        asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _settle(self) -> None:
        """Lets every connection's task end, so that none is destroyed with the loop."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.gather(*others, return_exceptions=True)
