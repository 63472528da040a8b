"""Where the server is: arguments, then the environment, then the client.json that `slicebank serve` leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from slicebank.errors import ServerNotFound

CLIENT_FILE = "client.json"


@dataclass(frozen=True, slots=True)
class Connection:
    """An address, its key, and where both came from (a phrase for messages)."""

    url: str
    api_key: str | None = field(repr=False)
    source: str


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return SLICEBANK_DATA_DIR, or the platform's folder for the data of this user."""
    environ = os.environ if environ is None else environ
    named = environ.get("SLICEBANK_DATA_DIR")
    return Path(named).expanduser() if named else platformdirs.user_data_path("slicebank")


def default_state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return SLICEBANK_STATE_DIR, or the platform's folder for what programs of this user remember."""
    environ = os.environ if environ is None else environ
    named = environ.get("SLICEBANK_STATE_DIR")
    return Path(named).expanduser() if named else platformdirs.user_state_path("slicebank")


def find_connection(
    url: str | None = None,
    api_key: str | None = None,
    *,
    data_dir: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Connection:
    """Find the server.

    What is passed wins over the environment, and a data folder that is passed counts as passed. A key is never sent to
    an address it does not belong to: the key of a client.json goes only to the address in that file.

    Raises:
        ServerNotFound: no address anywhere, or a client.json that cannot be read.
    """
    environ = os.environ if environ is None else environ
    folder = Path(data_dir).expanduser() if data_dir is not None else default_data_dir(environ)
    key = api_key or environ.get("SLICEBANK_API_KEY") or None
    if url:
        return Connection(_clean(url), key or _key_left_for(url, folder), "the address given")
    if data_dir is None and environ.get("SLICEBANK_URL"):
        named = environ["SLICEBANK_URL"]
        return Connection(_clean(named), key or _key_left_for(named, folder), "SLICEBANK_URL")
    left = read_client_file(folder)
    if left is None:
        raise ServerNotFound(f"No slicebank server is known: there is no {CLIENT_FILE} in {folder}.")
    return Connection(left.url, api_key or left.api_key, left.source)


def read_client_file(folder: Path) -> Connection | None:
    """Read the client.json of a data folder; None when there is none.

    Raises:
        ServerNotFound: the file is there and unreadable or without an address.
    """
    path = folder / CLIENT_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Connection(_clean(str(content["url"])), content.get("api_key"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerNotFound(
            f"{path} cannot be read as the address of a server ({error}).",
            hint="Start `slicebank serve` again, which rewrites it, or name the server with --url and --api-key.",
        ) from error


def _key_left_for(url: str, folder: Path) -> str | None:
    try:
        left = read_client_file(folder)
    except ServerNotFound:
        return None  # an address was named; the damaged file is not needed to reach it
    return left.api_key if left is not None and left.url == _clean(url) else None


def _clean(url: str) -> str:
    url = url.strip().rstrip("/")
    return url if "://" in url else f"http://{url}"
