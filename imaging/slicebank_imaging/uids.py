"""UIDs: their form, their names, and UIDs derived from content where a file has none (PS3.5 section 9, annex B.2)."""

import hashlib
import re

from pydicom._uid_dict import UID_dictionary

# Wider than DICOM's digits and dots, because some anonymisers write words; narrow enough to be an identifier anywhere.
_ACCEPTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_STRICT = re.compile(r"[0-9.]{1,64}")


def is_usable_uid(uid: str) -> bool:
    """Whether a UID can serve as an identifier in paths, URLs and tables."""
    return _ACCEPTED.fullmatch(uid) is not None


def derived_uid(*parts: str) -> str:
    """A UID under 2.25 (the root for UUIDs, PS3.5 annex B.2) that depends on nothing but its parts."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def uid_name(uid: str) -> str:
    """The registered name of a UID; "unknown" for others."""
    entry = UID_dictionary.get(uid)
    return "unknown" if entry is None else entry[0]


def quoted_uid(uid: str) -> str:
    """A UID for a sentence; text in its place, which can be a name, is not quoted."""
    return uid if _STRICT.fullmatch(uid) else "not a UID"
