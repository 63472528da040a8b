"""Identities: what makes two uploads, two bags, two patients the same (DESIGN.md, "Words and identities")."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from slicebank_store.canonical import digest
from slicebank_store.errors import BadKey

ID_LENGTH = 32
"""Hex digits of an id: 128 bits of a SHA-256, or a random UUID."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ID = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """A random id, 32 lowercase hex digits."""
    return uuid.uuid4().hex


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _ID.fullmatch(text) is not None


def check_name(name: str) -> str:
    """The name, if it is one that may become part of a path or an address.

    Raises:
        BadKey: it is not.
    """
    if _NAME.fullmatch(name) is None:
        msg = (
            f"{name[:40]!r} is not a usable name: begin with a letter or digit and go on with letters, digits, dots, "
            "underscores and hyphens, at most 128 in all."
        )
        raise BadKey(msg)
    return name


def content_digest(slice_digests: Sequence[str]) -> str:
    """Digest of a stack: over its slice digests in order, inferior to superior; 64 hex digits."""
    return digest(["slicebank content 1", *slice_digests])


def bag_id(project: str, series_uid: str, content: str, recipe_digest: str) -> str:
    """Id of the bag of one stack under one recipe, known before the bag exists; 32 hex digits.

    Args:
        project: the project's name.
        series_uid: SeriesInstanceUID.
        content: the stack's content digest.
        recipe_digest: the recipe's digest.
    """
    return digest(["slicebank bag 1", project, series_uid, content, recipe_digest])[:ID_LENGTH]


def prediction_id(project: str, head_id: str, *bags: str) -> str:
    """Id of the answer of one head version about one bag, or about several in any order; 32 hex digits."""
    return digest(["slicebank prediction 1", project, head_id, *sorted(bags)])[:ID_LENGTH]


def patient_hash(key: bytes, patient_id: str) -> str:
    """HMAC-SHA256 of a PatientID without surrounding blanks (DICOM pads values), 64 hex digits."""
    return hmac.new(key, patient_id.strip().encode(), hashlib.sha256).hexdigest()


class ProjectKeys:
    """The key of each project's patient pseudonyms, one 0600 file each.

    Whoever has a key can link pseudonyms to PatientIDs, so the folder stays out of the catalogue's backups.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def key(self, project: str) -> bytes:
        """The project's key, 32 bytes; made at first use, by exactly one of several processes.

        Raises:
            BadKey: the project's name cannot be a file name, or its key file is damaged.
        """
        path = self._folder / f"{check_name(project)}.key"
        if not path.exists():
            self._make(path)
        key = bytes.fromhex(path.read_text("ascii").strip())
        if len(key) != 32:
            msg = f"The key file {path} is damaged: restore it from its own backup, or patients will not be recognised."
            raise BadKey(msg)
        return key

    def has(self, project: str) -> bool:
        """Whether the project's key was made, or copied here."""
        return (self._folder / f"{check_name(project)}.key").exists()

    def check(self, project: str) -> str:
        """Tells the project's key from others and nothing about it, 64 hex digits."""
        return hmac.new(self.key(project), b"slicebank key check", hashlib.sha256).hexdigest()

    def patient(self, project: str, patient_id: str) -> str:
        """The pseudonym of a PatientID in a project, 64 hex digits."""
        return patient_hash(self.key(project), patient_id)

    def _make(self, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".key-")
        temporary = Path(name)  # mkstemp gives mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_bytes(32).hex())
                file.flush()
                os.fsync(file.fileno())
            # A link fails where the name is taken, so that the first of two processes wins and no key is replaced.
            path.hardlink_to(temporary)
        except FileExistsError:
            return
        finally:
            temporary.unlink()
