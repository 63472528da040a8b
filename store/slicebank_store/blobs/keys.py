"""Keys of blobs. They start with the project, so that a tenant's blobs lie together.

A key carries the job and the fencing token of the lease under which it was written: two workers that both believe to
hold a job, or two jobs that make the same bag after a deletion, write two blobs, and the one whose commit is refused
can delete its own without touching the other's.
"""

from __future__ import annotations

from slicebank_store.errors import BadKey
from slicebank_store.identity import check_name


def bag_key(project: str, encoder: str, bag_id: str, job_id: str, fence: int) -> str:
    """Key of a bag: one folder per encoder, because readers such as STAMP open every .h5 below a folder."""
    return f"{check_name(project)}/bags/{check_name(encoder)}/{check_name(bag_id)}-{check_name(job_id)}-{fence}.h5"


def pixels_key(project: str, job_id: str, fence: int) -> str:
    """Key of a stack's kept pixels; not `.h5`, which is for bags alone."""
    return f"{check_name(project)}/pixels/{check_name(job_id)}-{fence}.hdf5"


def head_key(project: str, head_id: str, fence: int) -> str:
    """Key of a head version's weights."""
    return f"{check_name(project)}/heads/{check_name(head_id)}-{fence}.safetensors"


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
