"""Instances that were received, handed to the jobs that take their studies in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from slicebank_imaging.uids import derived_uid
from slicebank_imaging.verdicts import OUT_OF_RESOURCES
from slicebank_service.context import Context
from slicebank_service.dicomweb.instances import Accepted, Instance, Refused
from slicebank_store.errors import CatalogueUnavailable, UploadMissing
from slicebank_store.intake.request import IntakeRequest

log = structlog.get_logger()


@dataclass(slots=True)
class Stored:
    """What became of a request's instances.

    Attributes:
        instances: that will be taken in, whatever happens to this process.
        refused: all others.
        jobs: the job that takes each study in, by StudyInstanceUID as the catalogue calls it.
    """

    instances: list[Instance] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """HTTP status (PS3.18 table 10.5.3-1)."""
        if not self.instances:
            return 409
        return 202 if self.refused else 200


def same_study(context: Context, study_uid: str | None) -> Callable[[str], bool]:
    """Whether a file's StudyInstanceUID is that of the request: the sender's, or the one that answers show; any where it names none."""
    if study_uid is None:
        return lambda _: True
    asked = context.pseudonyms.uid_asked(study_uid)
    return lambda uid: context.pseudonyms.uid(uid) == asked


def store(
    context: Context, upload_id: str, accepted: Iterable[Accepted], refused: Iterable[Refused], request: IntakeRequest
) -> Stored:
    """Hands instances over, study by study.

    Args:
        context: the application's collaborators.
        upload_id: of the request's place in staging.
        accepted: instances whose files lie there.
        refused: the others.
        request: what is asked of the studies.

    Raises:
        CatalogueUnavailable: nothing was handed over.
    """
    stored = Stored(refused=list(refused))
    studies: dict[str, list[Accepted]] = {}
    for item in accepted:
        # Files without a study are one, so that those of one request meet; what it is called follows from them when it is taken in.
        uid = item.study_uid or derived_uid("study", upload_id)
        studies.setdefault(context.pseudonyms.uid(uid), []).append(item)
    for study_uid, items in studies.items():
        try:
            job = context.arrivals.add(study_uid, [item.path for item in items], request)
        except (CatalogueUnavailable, UploadMissing) as error:
            if isinstance(error, CatalogueUnavailable) and not stored.jobs:
                raise
            log.warning("study_not_stored", code=error.code, instances=len(items))
            stored.refused += [Refused(item.instance, error.code, OUT_OF_RESOURCES) for item in items]
            continue
        stored.jobs[study_uid] = job.job_id
        stored.instances += [item.instance for item in items]
    return stored
