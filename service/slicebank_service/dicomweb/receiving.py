"""The body of a STOW-RS request, streamed to staging, each instance judged as soon as it is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect

from slicebank_imaging.errors import TooManyFiles
from slicebank_service.dicomweb.instances import Accepted, Refused
from slicebank_service.errors import BodyTooLarge, ClientGone, EmptyBody, MalformedUpload, UnsupportedMedia
from slicebank_service.intake.blocks import Blocks
from slicebank_store.multipart_related import RELATED, MalformedMultipart, MediaType, RelatedParts

DICOM = "application/dicom"
_TAKEN = f'{RELATED}; type="{DICOM}", or {DICOM} for one instance'

Judge = Callable[[Path], Accepted | Refused]


class ReceivedInstances:
    """Takes the bytes of a body; leaves the files of instances that can be used, and no others.

    Attributes:
        accepted: files that stay.
        refused: what was said of files that are gone.
    """

    def __init__(self, folder: Path, content_type: str, *, max_files: int, judge: Judge) -> None:
        """Writes nothing yet.

        Args:
            folder: empty folder of this request alone.
            content_type: of the request.
            max_files: most instances taken.
            judge: says what becomes of a whole file.

        Raises:
            UnsupportedMedia: the body is neither instances nor one instance.
            MalformedUpload: the header names no boundary.
        """
        self.accepted: list[Accepted] = []
        self.refused: list[Refused] = []
        self._folder = folder
        self._max_files = max_files
        self._judge = judge
        media = MediaType.parse(content_type)
        if media.name not in (RELATED, DICOM) or media.root not in ("", DICOM):
            raise UnsupportedMedia(f"this Content-Type is not taken here; send {_TAKEN}")
        # One instance without a message around it is the only part there is.
        self._single = self._place(0, DICOM).open("xb") if media.name == DICOM else None
        try:
            self._parts = RelatedParts(content_type, place=self._place) if self._single is None else None
        except MalformedMultipart as error:
            raise MalformedUpload(str(error)) from error

    def feed(self, block: bytes) -> None:
        """Takes the next bytes.

        Raises:
            MalformedUpload: not the multipart message it claims to be.
            UnsupportedMedia: a part is no DICOM instance.
            TooManyFiles: more instances than the limit.
        """
        if self._single is not None:
            self._single.write(block)
        elif self._parts is not None:
            try:
                for part in self._parts.feed(block):
                    self._take(part.path)
            except MalformedMultipart as error:
                raise MalformedUpload(str(error)) from error

    def finish(self) -> None:
        """Ends the body.

        Raises:
            MalformedUpload: it stops before its closing boundary.
            EmptyBody: it holds no instance.
        """
        self.close()
        if self._single is not None:
            self._take(Path(self._single.name))
        elif self._parts is not None:
            try:
                self._parts.finish()
            except MalformedMultipart as error:
                raise MalformedUpload(str(error)) from error
        if not self.accepted and not self.refused:
            raise EmptyBody(f"the body holds no instance; send {_TAKEN}")

    def close(self) -> None:
        """Closes what is open, whatever state the body is in."""
        if self._single is not None:
            self._single.close()
        elif self._parts is not None:
            self._parts.close()

    def _place(self, number: int, media_type: str) -> Path:
        if media_type not in ("", DICOM):
            raise UnsupportedMedia(f"a part is not {DICOM}; send {_TAKEN}")
        if number == self._max_files:
            raise TooManyFiles(f"the request holds more than {self._max_files} instances; send the study in parts")
        return self._folder / f"instance-{number:06d}"

    def _take(self, path: Path) -> None:
        verdict = self._judge(path)
        if isinstance(verdict, Accepted):
            self.accepted.append(verdict)
        else:
            self.refused.append(verdict)
            path.unlink()


async def receive_instances(
    stream: AsyncIterator[bytes],
    folder: Path,
    *,
    content_type: str,
    content_encoding: str,
    max_bytes: int,
    max_files: int,
    judge: Judge,
    check_room: Callable[[int], None],
) -> ReceivedInstances:
    """Streams a body into an existing folder; parsing, judging and writing run on a thread, block by block.

    Args:
        stream: the body's chunks; raises ClientDisconnect when the client goes away.
        folder: empty folder of this request alone.
        content_type: the request's Content-Type.
        content_encoding: the request's Content-Encoding; none is taken.
        max_bytes: most bytes taken.
        max_files: most instances taken.
        judge: says what becomes of a whole file.
        check_room: called with the bytes to be written before each block of them; raises StorageFull where they must not be.

    Raises:
        EmptyBody, MalformedUpload, UnsupportedMedia, BodyTooLarge, TooManyFiles, StorageFull, ClientGone: as they say.
        OSError: the disk cannot be written.
    """
    if content_encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMedia("no Content-Encoding is taken here; send instances in a compressed transfer syntax")
    received = await anyio.to_thread.run_sync(
        partial(ReceivedInstances, folder, content_type, max_files=max_files, judge=judge)
    )
    size = 0

    def take(block: bytes) -> None:
        check_room(len(block))
        received.feed(block)

    blocks = Blocks(take)
    try:
        async for chunk in stream:
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLarge(
                    f"the request is larger than the {max_bytes} bytes taken at once; send the study in parts"
                )
            await blocks.add(chunk)
        if size == 0:
            raise EmptyBody(f"the body is empty; send {_TAKEN}")
        await blocks.finish()
        await anyio.to_thread.run_sync(received.finish)
    except ClientDisconnect as error:
        raise ClientGone("the connection closed before the request was complete; nothing of it was kept") from error
    finally:
        with anyio.CancelScope(shield=True):
            await blocks.settle()
        received.close()
    return received
