"""Hundreds of HTTP clients in one asyncio process: each a socket and a few lines of HTTP/1.1, so that they leave the cores to the server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Answers:
    """What clients saw; times in seconds."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class KeptConnection:
    """One client's connection, kept open from request to request."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._headers = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        reader = await self._ask(path)
        status, length = await _head(reader)
        return status, await reader.readexactly(length or 0)

    async def last_event(self, path: str) -> bytes:
        """Data of the last event of a stream that the server ends."""
        reader = await self._ask(path)
        status, _ = await _head(reader)
        if status != 200:
            raise RuntimeError(f"the stream was answered with {status}")
        last = b""
        # Chunked transfer coding ends with a chunk of no bytes (RFC 9112, 7.1).
        while size := int((await reader.readline()).split(b";")[0], 16):
            chunk = await reader.readexactly(size)
            await reader.readline()
            last = next((line[6:] for line in chunk.splitlines() if line.startswith(b"data: ")), last)
        return last

    def close(self) -> None:
        """Closes the connection."""
        if self._writer is not None:
            self._writer.close()

    async def _ask(self, path: str) -> asyncio.StreamReader:
        if self._writer is None or self._reader is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(f"GET {path} HTTP/1.1\r\n{self._headers}".encode())
        await self._writer.drain()
        return self._reader


async def _head(reader: asyncio.StreamReader) -> tuple[int, int | None]:
    """Status and content length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), None)
    return int(lines[0].split()[1]), length


async def poll(port: int, key: str, paths: list[str], *, every_s: float, for_s: float) -> Answers:
    """One client a path, each asking again and again; they begin spread over one period.

    Args:
        port: of the server on this machine.
        key: its API key.
        paths: what each client asks for.
        every_s: from the beginning of one request of a client to that of its next.
        for_s: how long.
    """
    answers = Answers()
    began = time.perf_counter()

    async def client(number: int, path: str) -> None:
        connection = KeptConnection(port, key)
        turn = began + every_s * number / len(paths)
        while turn < began + for_s:
            await asyncio.sleep(max(0.0, turn - time.perf_counter()))
            started = time.perf_counter()
            try:
                status, _ = await connection.get(path)
            except (OSError, asyncio.IncompleteReadError) as error:
                answers.errors.append(type(error).__name__)
                connection.close()
                connection = KeptConnection(port, key)
            else:
                answers.seconds.append(time.perf_counter() - started)
                if status != 200:
                    answers.errors.append(str(status))
            turn += every_s
        connection.close()

    async with asyncio.TaskGroup() as group:
        for number, path in enumerate(paths):
            group.create_task(client(number, path))
    return answers
