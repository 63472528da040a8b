"""The files that a supervisor keeps in its data folder: its lock, the API key, and client.json for those who call it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slicebank_service.serving.errors import AlreadyServing

# 32 bytes of randomness: beyond guessing, and short enough to copy.
_KEY_BYTES = 32


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Holds the data folder; the lock goes with the process, however that ends.

    Raises:
        AlreadyServing: another process holds it.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / "serve.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise AlreadyServing(
                f"slicebank already serves {data_dir} (process {file.read().strip() or 'unknown'}); "
                "stop that one first, or give this one another --data-dir"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def load_api_key(data_dir: Path) -> str:
    """The folder's API key, made at the first call (mode 0600)."""
    path = data_dir / "api_key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(_KEY_BYTES))
    return path.read_text(encoding="ascii").strip()


def write_client_file(data_dir: Path, *, url: str, api_key: str) -> Path:
    """Tells SDK and CLI where the service is and how to get in (mode 0600, atomic)."""
    path = data_dir / "client.json"
    write_private(path, json.dumps({"url": url, "api_key": api_key}))
    return path


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read; a reader sees the old content or the new, never a part."""
    # mkstemp makes the file with mode 0600.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
