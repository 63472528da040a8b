"""What a project calls patients and studies: the names of their hospital, or keyed hashes of them."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from slicebank_store.errors import KeyMismatch
from slicebank_store.identity import ProjectKeys, patient_hash

if TYPE_CHECKING:
    from slicebank_store.catalogue.projects import Projects

_PATIENT = re.compile(r"[0-9a-f]{64}")
_UNDER_225 = re.compile(r"2\.25\.([0-9]{1,39})")
# Of the 128 bits of a UID under 2.25 (PS3.5 annex B.2), these tell a hashed one from a stranger's; 96 are left, and a million UIDs
# then share one with a probability of 1e-17.
_MARK_BYTES = 4
_HASH_BYTES = 12
# What the catalogue holds; DICOM allows a quarter of it.
_MAX_PATIENT = 256


class UidPolicy(StrEnum):
    """What becomes of UIDs."""

    KEEP = "keep"
    HASH = "hash"


class PatientPolicy(StrEnum):
    """What becomes of PatientIDs."""

    HASH = "hash"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Policies:
    """How a project names things; fixed when the project is made."""

    uids: UidPolicy = UidPolicy.KEEP
    patients: PatientPolicy = PatientPolicy.HASH


class Pseudonyms:
    """Names of one project's patients, studies, series and instances. Any thread may ask."""

    def __init__(self, keys: ProjectKeys, project: str, policies: Policies) -> None:
        self._keys = keys
        self._project = project
        self.policies = policies

    @property
    def uids_hashed(self) -> bool:
        """Whether UIDs are replaced."""
        return self.policies.uids is UidPolicy.HASH

    def patient(self, patient_id: str) -> str:
        """What a PatientID is called: its keyed hash (HMAC-SHA256, 64 hex digits), or itself where the project keeps it.

        One that no database can store is hashed all the same: it must not keep the other files of its upload out.
        """
        patient_id = patient_id.strip()
        if self.policies.patients is PatientPolicy.KEEP and len(patient_id) <= _MAX_PATIENT and "\0" not in patient_id:
            return patient_id
        return patient_hash(self._key, patient_id)

    def patient_asked(self, given: str) -> str:
        """What a request means that names a patient, by PatientID or as answers show it."""
        return given if _PATIENT.fullmatch(given) else self.patient(given)

    def exported(self, patient: str) -> str:
        """What a stored patient is called outside: its keyed hash, also where the project keeps PatientIDs; 64 hex digits."""
        return patient if _PATIENT.fullmatch(patient) else patient_hash(self._key, patient)

    def uid(self, uid: str) -> str:
        """What a UID is called: itself, or, where the project hashes UIDs, one under 2.25 made of its keyed hash."""
        if not self.uids_hashed:
            return uid
        body = hmac.digest(self._key, b"uid " + uid.encode(), hashlib.sha256)[:_HASH_BYTES]
        return f"2.25.{int.from_bytes(self._mark(body) + body)}"

    def uid_asked(self, given: str) -> str:
        """What a request means that names a UID, the sender's own or as answers show it."""
        return given if not self.uids_hashed or self._is_ours(given) else self.uid(given)

    def _is_ours(self, uid: str) -> bool:
        """Whether a UID was made by `uid`, told by its first 32 bits, which nobody without the key can make."""
        found = _UNDER_225.fullmatch(uid)
        number = int(found.group(1)) if found is not None else 1 << 128
        if number >> 128:
            return False
        whole = number.to_bytes(_MARK_BYTES + _HASH_BYTES)
        return hmac.compare_digest(whole[:_MARK_BYTES], self._mark(whole[_MARK_BYTES:]))

    def _mark(self, body: bytes) -> bytes:
        # The first bit is set, so that the number always has the same length and says nothing.
        mark = hmac.digest(self._key, b"mark " + body, hashlib.sha256)[:_MARK_BYTES]
        return bytes([mark[0] | 0x80]) + mark[1:]

    @property
    def _key(self) -> bytes:
        return self._keys.key(self._project)


def open_pseudonyms(projects: Projects, keys: ProjectKeys, project: str) -> Pseudonyms:
    """The names of a project's patients and studies, as every process that takes studies in must use them.

    Raises:
        KeyMismatch: this process has another key than the project, or none: patients would get other pseudonyms here.
    """
    known = projects.key_check(project)
    if (known is not None and not keys.has(project)) or not projects.agree_on_key(project, keys.check(project)):
        msg = (
            f"The pseudonym key of project {project} is not in this process's key folder: give API, listener and embed workers the "
            "same SLICEBANK_KEYS_DIR, or restore that folder from its own backup."
        )
        raise KeyMismatch(msg)
    return Pseudonyms(keys, project, projects.policies(project))
