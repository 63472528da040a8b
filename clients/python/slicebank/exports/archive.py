"""The members of a tar archive that is still arriving, one after the other."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from slicebank.errors import UnexpectedAnswer

_BLOCK_BYTES = 1 << 20
# What the server names: letters, digits and a few signs, folders below the archive's own, never upwards.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}(/[A-Za-z0-9][A-Za-z0-9._-]{0,254}){0,5}")
_BAG = "slicebank.bag"


class _Arriving:
    """Blocks of an answer as a file that can only be read on."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        gathered = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            block = next(self._blocks, None)
            if block is None:
                break
            gathered.append(block)
            length += len(block)
        whole = b"".join(gathered)
        cut = len(whole) if size < 0 else size
        self._rest = whole[cut:]
        return whole[:cut]


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive.

    Attributes:
        name: path below the archive's folder, with forward slashes.
        bag_id: whose rows it holds; empty for tables.
        size: bytes.
    """

    name: str
    bag_id: str
    size: int
    _content: IO[bytes]

    def blocks(self) -> Iterator[bytes]:
        """The bytes; to be taken before the next member.

        Raises:
            UnexpectedAnswer: the archive ends in the middle.
        """
        left = self.size
        while left:
            try:
                block = self._content.read(min(left, _BLOCK_BYTES))
            except tarfile.TarError:
                block = b""
            if not block:
                raise UnexpectedAnswer(f"The archive ends in the middle of {self.name}.")
            left -= len(block)
            yield block


def members(blocks: Iterator[bytes]) -> Iterator[Member]:
    """Reads an archive as it comes.

    Raises:
        UnexpectedAnswer: not an archive, one that is cut, or one with a name or a kind of file that the server never sends.
    """
    try:
        with tarfile.open(fileobj=_Arriving(blocks), mode="r|") as archive:  # type: ignore[call-overload]
            for info in archive:
                if not info.isreg() or not _NAME.fullmatch(info.name):
                    raise UnexpectedAnswer(f"The archive holds {info.name[:80]!r}, which no export has.")
                content = archive.extractfile(info)
                assert content is not None  # noqa: S101 - regular files have content
                yield Member(info.name, str(info.pax_headers.get(_BAG, "")), info.size, content)
    except tarfile.TarError as error:
        raise UnexpectedAnswer(f"The export did not arrive as a tar archive ({error}).") from error
