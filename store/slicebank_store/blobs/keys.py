"""Keys of blobs. They start with the project, so that a tenant's blobs lie together.

A key carries the job (a head's key the head, which one job makes) and the fencing token of the lease under which it was
written: two workers that both believe to hold a job, or two jobs that make the same bag after a deletion, write two
blobs, and the one whose commit is refused can delete its own without touching the other's. Upkeep reads from it whether
anybody may still commit the blob.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from slicebank_store.errors import BadKey
from slicebank_store.identity import check_name

_PARTS = re.compile(
    r"(?P<project>[^/]+)/(?:"
    r"bags/[^/]+/(?P<bag>[0-9a-f]{32})-(?P<bag_job>[0-9a-f]{32})-(?P<bag_fence>[0-9]{1,9})\.h5"
    r"|pixels/(?P<pixels_job>[0-9a-f]{32})-(?P<pixels_fence>[0-9]{1,9})\.hdf5"
    r"|heads/(?P<head>[0-9a-f]{32})-(?P<head_fence>[0-9]{1,9})\.safetensors)"
)


class BlobKind(StrEnum):
    """What a blob holds."""

    BAG = "bag"
    HEAD = "head"
    PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What a key tells.

    Attributes:
        made: id of the bag or head; None for kept pixels.
        job_id: of the job that wrote it; None for a head, which is known by itself.
        fence: fencing token of that job's lease.
    """

    kind: BlobKind
    project: str
    made: str | None
    job_id: str | None
    fence: int


def bag_key(project: str, encoder: str, bag_id: str, job_id: str, fence: int) -> str:
    """Key of a bag: one folder per encoder, because readers such as STAMP open every .h5 below a folder."""
    return f"{check_name(project)}/bags/{check_name(encoder)}/{check_name(bag_id)}-{check_name(job_id)}-{fence}.h5"


def pixels_key(project: str, job_id: str, fence: int) -> str:
    """Key of a stack's kept pixels; not `.h5`, which is for bags alone."""
    return f"{check_name(project)}/pixels/{check_name(job_id)}-{fence}.hdf5"


def head_key(project: str, head_id: str, fence: int) -> str:
    """Key of a head version's weights."""
    return f"{check_name(project)}/heads/{check_name(head_id)}-{fence}.safetensors"


def parse_key(key: str) -> KeyParts | None:
    """What a key made by the functions above tells; None for a key of another form."""
    found = _PARTS.fullmatch(key)
    if found is None:
        return None
    project = found["project"]
    if found["bag"] is not None:
        return KeyParts(BlobKind.BAG, project, found["bag"], found["bag_job"], int(found["bag_fence"]))
    if found["head"] is not None:
        return KeyParts(BlobKind.HEAD, project, found["head"], None, int(found["head_fence"]))
    return KeyParts(BlobKind.PIXELS, project, None, found["pixels_job"], int(found["pixels_fence"]))


def check_key(key: str) -> str:
    """The key, if every part between slashes is a usable name.

    Raises:
        BadKey: it is not.
    """
    parts = key.split("/")
    if len(parts) < 2:
        msg = f"{key[:80]!r} is not a blob key: it needs a project and a name."
        raise BadKey(msg)
    for part in parts:
        check_name(part)
    return key
