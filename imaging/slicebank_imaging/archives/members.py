"""What readers of archives hand on: names fit for an answer, and contents that copy themselves out."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Final

from slicebank_imaging.errors import ArchiveRefused

SHOWN_CHARACTERS = 255  # of a name; file systems take no more for one part of a path
# What macOS and Windows add by themselves; nobody sent it on purpose, so it is passed over without a note.
_LITTER_FOLDERS = frozenset({"__MACOSX"})
_LITTER_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
SINGLE: Final = ""  # instead of a name, where a compressor packed one file: its name is that of the archive
UNSAFE = "the name leaves the archive, or the member is a link or device; pack plain files with relative names"

# Copies the content into a file opened without buffer; raises ArchiveRefused where it is damaged.
Content = Callable[[IO[bytes]], None]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive, with forward slashes in its name; read it before asking for the next."""

    name: str
    content: Content | ArchiveRefused


def is_safe(name: str) -> bool:
    """Whether a name stays inside the archive on any system; none ever reaches the file system."""
    parts = _parts(name)
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name and ":" not in parts[0]


def is_litter(name: str) -> bool:
    """Whether an operating system added the file by itself."""
    parts = _parts(name)
    if not parts:
        return False
    return parts[-1] in _LITTER_FILES or parts[-1].startswith("._") or not _LITTER_FOLDERS.isdisjoint(parts)


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def shown(name: str) -> str:
    """A name for answers and terminals: nothing invisible or half a character in it, and its end if it is long."""
    if len(name) > SHOWN_CHARACTERS:
        name = "…" + name[1 - SHOWN_CHARACTERS :]
    if name.isascii() and name.isprintable():
        return name
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign) in _INVISIBLE else sign for sign in name)
