"""Removing what nobody needs: orphaned blobs, half-written files, uploads that no job names. No row goes but the notes of blobs to delete."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from slicebank_store.blobs import BlobStore
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.upkeep import PAGE, Fate
from slicebank_store.doomed import remove_doomed
from slicebank_store.errors import BadKey, BlobMissing
from slicebank_store.intake import Staging
from slicebank_store.intake.weighing import StagedBytes

# Seconds without a byte after which the writer of a half-written file is dead: no disk or share is silent for so long
# and then goes on, and clocks of file servers differ by minutes at most.
_UNFINISHED_S = 3600.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be.

    Attributes:
        count: things by sort: orphan, foreign, unfinished, upload.
        size: their bytes by sort.
        foreign_left: blobs that nothing in this catalogue made and that were left alone.
    """

    count: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    foreign_left: int = 0


def collect(
    catalogue: Catalogue,
    blobs: BlobStore,
    staging: Staging,
    staged: StagedBytes,
    *,
    failed_within_s: float,
    idle_upload_s: float,
    foreign: bool = False,
    dry_run: bool = False,
) -> Collected:
    """Removes leftovers. Workers and API may run meanwhile.

    Args:
        catalogue: decides what is left over.
        blobs: searched whole.
        staging: uploads.
        staged: measures them.
        failed_within_s: uploads of jobs that failed more lately stay, so that those can be retried.
        idle_upload_s: uploads to which a byte came more lately stay: they may still be arriving.
        foreign: also removes blobs that no job of this catalogue made.
        dry_run: only counts.

    Raises:
        BlobsUnavailable: the backend does not answer.
    """
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    left = 0

    def note(sort: str, n_bytes: int) -> None:
        count[sort] += 1
        size[sort] += n_bytes

    keys = blobs.keys()
    while page := list(islice(keys, PAGE)):
        for key, fate in catalogue.upkeep.fates(page).items():
            if fate is Fate.ORPHAN or (fate is Fate.FOREIGN and foreign):
                try:
                    n_bytes = blobs.size(key)
                    if not dry_run:
                        blobs.delete(key)
                except BlobMissing:  # its worker deleted it meanwhile
                    continue
                except BadKey:  # a person's file, with a name that no blob has
                    left += 1
                    continue
                note(fate.value, n_bytes)
            elif fate is Fate.FOREIGN:
                left += 1
    if not dry_run:
        # After the search, which counts them among the orphans.
        remove_doomed(catalogue, blobs)
    for unfinished in blobs.sweep_unfinished(older_than_s=_UNFINISHED_S, dry_run=dry_run):
        note("unfinished", unfinished.size)
    weights = staged.by_upload()
    in_use = partial(catalogue.jobs.staging_in_use, failed_within_s=failed_within_s)
    find = staging.unneeded if dry_run else staging.sweep
    for upload_id in find(in_use, older_than_s=idle_upload_s):
        note("upload", weights.get(upload_id, 0))
    return Collected(count, size, left)
