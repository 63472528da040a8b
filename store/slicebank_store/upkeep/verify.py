"""Comparing the catalogue with the blobs, both ways, and looking for jobs that nobody moves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from slicebank_store.blobs import BlobKind, BlobStore
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.standstill import Cause, StuckJob
from slicebank_store.catalogue.upkeep import PAGE, Fate, NamedBlob
from slicebank_store.errors import BlobMissing, BlobsUnavailable
from slicebank_store.upkeep.finding import Finding, FindingCode
from slicebank_store.upkeep.soundness import fault_of

# Blobs in a row that the backend cannot give, after which it is away, and not one disk sector damaged.
_AWAY_AFTER = 3
# Named blobs looked at to see that the backend is the catalogue's own; where none of them is there, it is not.
_SAMPLE = 1000

_MAKE_AGAIN = {
    BlobKind.BAG: "`--repair` removes the bag, so that it can be made again: from kept pixels at once, else by an upload.",
    BlobKind.HEAD: "Train the head again, or delete this version.",
    BlobKind.PIXELS: "Upload the series again with `retain`; its bags are not touched.",
}


class Verifier:
    """One run over everything that is stored; memory does not grow with it.

    Attributes:
        checked: how many bags, heads, pixels and blobs were looked at so far.
    """

    def __init__(self, catalogue: Catalogue, blobs: BlobStore, *, quick: bool = False, repair: bool = False) -> None:
        """Prepares a run.

        Args:
            catalogue: what should be there.
            blobs: what is there.
            quick: looks at presence and size of blobs alone, and does not read them.
            repair: removes rows of damaged bags and orphaned blobs; touches nothing else.
        """
        self._catalogue = catalogue
        self._blobs = blobs
        self._quick = quick
        self._repair = repair
        self.checked: Counter[str] = Counter()

    def run(self) -> Iterator[Finding]:
        """Everything that is wrong, as it is found.

        Raises:
            BlobsUnavailable: the backend does not answer; or, where repairs are asked for, holds nothing of this
                catalogue, so that every bag would be removed.
        """
        if self._repair:
            self._refuse_another_backend()
        yield from self._named_blobs()
        yield from self._stored_blobs()
        for job in self._catalogue.standstill.stuck():
            yield _stuck(job)

    def _named_blobs(self) -> Iterator[Finding]:
        away = 0
        for blob in self._catalogue.upkeep.named_blobs():
            self.checked[blob.kind.value] += 1
            try:
                fault = fault_of(self._blobs, blob, quick=self._quick)
            except BlobsUnavailable as error:
                away += 1
                if away == _AWAY_AFTER:
                    raise
                action = "See the disk; nothing is repaired that cannot be read for a reason that may pass."
                yield Finding(FindingCode.BLOB_UNREACHABLE, blob.key, blob.owner, error.detail, action)
                continue
            away = 0
            # It may have been deleted while it was looked at.
            if fault is not None and self._catalogue.upkeep.still_named(blob):
                yield self._damaged(blob, *fault)

    def _damaged(self, blob: NamedBlob, code: FindingCode, sentence: str) -> Finding:
        if not self._repair or blob.kind is not BlobKind.BAG:
            return Finding(code, blob.key, blob.owner, sentence, _MAKE_AGAIN[blob.kind])
        pixels = self._catalogue.upkeep.pixels_of(blob)
        usable = pixels if pixels is not None and self._blobs.exists(pixels) else None
        remade = self._catalogue.upkeep.remake_bag(blob, pixels_key=usable)
        if not remade.removed:
            return Finding(
                code, blob.key, blob.owner, sentence, "The bag was removed or replaced meanwhile.", mended=True
            )
        self._blobs.delete(blob.key)
        action = (
            f"The bag was removed; job {remade.job_id} makes it again from the kept pixels."
            if remade.job_id
            else "The bag was removed; upload its series again to make it."
        )
        return Finding(code, blob.key, blob.owner, sentence, action, mended=True)

    def _stored_blobs(self) -> Iterator[Finding]:
        keys = self._blobs.keys()
        while page := list(islice(keys, PAGE)):
            self.checked["blob"] += len(page)
            for key, fate in self._catalogue.upkeep.fates(page).items():
                if fate is Fate.ORPHAN:
                    yield self._orphan(key)
                elif fate is Fate.FOREIGN:
                    yield Finding(
                        FindingCode.BLOB_FOREIGN,
                        key,
                        "",
                        "No job of this catalogue made it.",
                        "It belongs to another catalogue, or to a time after the backup that was restored; if you know "
                        "better, remove it with `slicebank admin gc --foreign`.",
                    )

    def _orphan(self, key: str) -> Finding:
        if self._repair:
            self._blobs.delete(key)
        return Finding(
            FindingCode.BLOB_ORPHAN,
            key,
            "",
            "No row names it, and the job that wrote it has no lease any more.",
            "It was removed." if self._repair else "`--repair` or `slicebank admin gc` removes it.",
            mended=self._repair,
        )

    def _refuse_another_backend(self) -> None:
        looked_at = 0
        for blob in islice(self._catalogue.upkeep.named_blobs(), _SAMPLE):
            try:
                self._blobs.size(blob.key)
            except BlobMissing:
                looked_at += 1
            else:
                return
        if looked_at:
            msg = (
                f"None of {looked_at} blobs of the catalogue is there, so nothing is repaired: check the blob folder, its "
                "mount or the bucket's name. If they are truly lost, delete the series or bags."
            )
            raise BlobsUnavailable(msg)


def _stuck(job: StuckJob) -> Finding:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(job.since))
    code, sentence, action = {
        Cause.SILENT: (
            FindingCode.JOB_SILENT,
            f"Its worker {job.worker} holds no lease since {since}, and nobody takes it back.",
            "Start a worker: any worker's sweep hands it out again.",
        ),
        Cause.WAITING: (
            FindingCode.JOB_WAITING,
            f"It is due since {since}, and no {job.kind.queue} job runs or ended in the last hour.",
            f"Start a worker: `python -m slicebank_worker {job.kind.queue}`; see its log if one runs.",
        ),
        Cause.FORSAKEN: (
            FindingCode.JOB_FORSAKEN,
            f"It waits for job {job.waits_for}, which is over or gone.",
            "Cancel it, and ask again for what it was to make.",
        ),
    }[job.cause]
    return Finding(code, job.job_id, job.kind.value, sentence, action)
