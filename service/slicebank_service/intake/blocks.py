"""The bytes of a body in blocks, each taken by a thread while the next one is coming."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# One hop to a thread costs about 50 us, writing a mebibyte about 1 ms.
BLOCK_BYTES = 1024 * 1024


class Blocks:
    """Gathers the chunks of one body. At most three blocks are in memory: one gathering, one taken, and the joined copy."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        """Gathers nothing yet.

        Args:
            take: gets the blocks, one at a time and in order, on a thread.
        """
        self._take = take
        self._chunks: list[bytes] = []
        self._size = 0
        self._taking: asyncio.Future[object] | None = None

    async def add(self, chunk: bytes) -> None:
        """Adds the next bytes; raises what taking a block before raised."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= BLOCK_BYTES:
            await self._hand_over()

    async def finish(self) -> None:
        """Has the rest taken; raises what taking raised."""
        await self._hand_over()
        await self._settled()

    async def settle(self) -> None:
        """Waits until no thread is at work any more, whatever came of it: the caller closes what it writes to."""
        taking, self._taking = self._taking, None
        if taking is not None:
            await asyncio.wait([taking])
            taking.exception()  # looked at, so that nobody warns: it was raised before, or another error is on its way

    async def _hand_over(self) -> None:
        await self._settled()
        block = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if block:
            self._taking = asyncio.get_running_loop().run_in_executor(None, self._take, block)

    async def _settled(self) -> None:
        if self._taking is not None:
            # Shielded: a cancelled request must wait for the thread in `settle` before its files go.
            await asyncio.shield(self._taking)
            self._taking = None
