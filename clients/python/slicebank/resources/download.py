"""Downloads that are whole or not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from slicebank.errors import ChecksumMismatch, InputError
from slicebank.transport import Query, Transport


def download(
    transport: Transport,
    url_path: str,
    target: Path,
    *,
    query: Query,
    sha256: str | None,
    zipped: bool = True,
    on_progress: Callable[[int, int], object] | None = None,
) -> None:
    """Write an answer's body to a temporary file beside the target, verify it, and rename it.

    Without a checksum a zip archive (npz and pt are) is verified by its own; of anything else the answer's length is.

    Raises:
        ChecksumMismatch: another sha256, or a damaged archive.
        InputError: the target cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}.", hint="Choose another path."
        ) from error
    part = Path(name)
    try:
        digest = hashlib.sha256()
        with (
            os.fdopen(handle, "wb") as file,
            transport.stream(url_path, query=query, accept="application/octet-stream, */*") as response,
        ):
            total = int(response.headers.get("content-length", "0"))
            done = 0
            for chunk in response.iter_bytes():
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if on_progress is not None:
                    on_progress(done, total)
            file.flush()
            os.fsync(file.fileno())
        _verify(part, digest.hexdigest(), sha256, target, zipped=zipped)
        part.chmod(_usual_mode())
        part.replace(target)
    except OSError as error:
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}.", hint="Is the disk full? Nothing was kept."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def save_bytes(target: Path, content: bytes) -> None:
    """Write a small file, making its folder where needed.

    Raises:
        InputError: the target cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}.", hint="Choose another path."
        ) from error


def _verify(part: Path, found: str, sha256: str | None, target: Path, *, zipped: bool) -> None:
    if sha256 is not None:
        if found != sha256:
            raise ChecksumMismatch(f"{target.name} arrived with the checksum {found}; the server states {sha256}.")
        return
    if not zipped:
        return
    try:
        with zipfile.ZipFile(part) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ChecksumMismatch(f"{target.name} arrived incomplete.") from error
    if damaged is not None:
        raise ChecksumMismatch(f"{damaged} of {target.name} arrived damaged.")


def _usual_mode() -> int:
    """The mode that the user's umask gives a new file; temporary files are narrower."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
