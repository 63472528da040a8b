"""What can go wrong in the store.

StoreError
├── CatalogueError          the database as a whole
│   ├── SchemaMismatch      written by another version of slicebank
│   ├── CatalogueMissing    no catalogue at this address
│   └── CatalogueUnavailable  the database does not answer, or cannot write
├── BadBackup               a backup file that is damaged, or none
├── CatalogueNotEmpty       a restore would overwrite rows
├── QueueUnavailable        the broker does not answer; the job waits in the catalogue
├── BlobMissing             no blob under this key
├── BlobsUnavailable        the blob backend does not answer, or refuses
├── BlobsFull               the blob backend has no room left
├── BadKey                  a blob key, id or name of a forbidden form
├── BadCursor               a page cursor this catalogue did not give
├── BadBag                  a bag file that is not as the format says, or rows that cannot make one
├── BadForeignBag           a bag made elsewhere that is not taken
├── BagConflict             the series has another bag of this encoder, or the encoder rows of another kind
├── BadPixels               kept pixels that are not as the format says
│   └── SliceNotKept        the slice was not decodable when the pixels were kept
├── UnknownSeries           no such series in the project
├── UnknownStack            the series has no stack of this number
├── UnknownJob              no such job in the project
├── UnknownHead             no such head in the project
├── PixelsNotKept           the series was uploaded without `retain`
├── NotCancellable          the job is final
├── NotRetryable            the job is not one that failed, or what it needs is gone
├── NotPromotable           the head version is not trained
├── NoEarlierVersion        the name of a head meant no other version before
├── UnknownGroup            no such group in the project
├── PolicyFixed             the project was made with another policy
├── KeyMismatch             this process has not the project's pseudonym key
├── BadSources              the settings that name PACS are not usable
├── PacsError               a PACS did not give what was asked of it
│   ├── PacsUnavailable     it does not answer, or stopped in the middle
│   ├── PacsRefused         it says no
│   ├── UnknownSource       the settings name no such PACS
│   ├── StudyNotFound       it has no such study
│   ├── NothingSelected     the rules leave no series of the study
│   └── StudyTooLarge       more than one upload may bring
├── UploadMissing           no such upload in staging
└── SearchTooBroad          a search that would read too much of the catalogue
"""

from __future__ import annotations

from typing import ClassVar


class StoreError(Exception):
    """Anything this package raises.

    Attributes:
        detail: a sentence that says what to do next.
    """

    code: ClassVar[str] = "store_error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class CatalogueError(StoreError):
    """The database as a whole cannot be used."""

    code = "catalogue_error"


class SchemaMismatch(CatalogueError):
    """The catalogue was written by another version of slicebank."""

    code = "schema_mismatch"


class CatalogueMissing(CatalogueError):
    """There is no catalogue at this address."""

    code = "catalogue_missing"


class CatalogueUnavailable(CatalogueError):
    """The database is away, full, or locked for too long; what was asked for may be asked again."""

    code = "catalogue_unavailable"


class BadBackup(StoreError):
    """The file is damaged, or no backup of a catalogue."""

    code = "bad_backup"


class CatalogueNotEmpty(StoreError):
    """The catalogue to restore into holds rows, which a restore would replace."""

    code = "catalogue_not_empty"


class QueueUnavailable(StoreError):
    """The broker does not answer. Jobs stay queued in the catalogue and are sent again later."""

    code = "queue_unavailable"


class BlobMissing(StoreError):
    """No blob is stored under this key."""

    code = "blob_missing"


class BlobsUnavailable(StoreError):
    """The blob backend does not answer, refuses, or cannot be written; nothing was stored. It may pass by itself."""

    code = "blobs_unavailable"


class BlobsFull(StoreError):
    """The blob backend has no room left; nothing was stored."""

    code = "blobs_full"


class BadKey(StoreError):
    """A blob key, an id or a name of a form that is not allowed."""

    code = "bad_key"


class BadCursor(StoreError):
    """A page cursor that this catalogue did not give."""

    code = "bad_cursor"


class BadBag(StoreError):
    """A bag file that breaks the format, or rows that cannot make a bag."""

    code = "bad_bag"


class BadForeignBag(StoreError):
    """A bag made elsewhere is not taken: no known layout, damaged, or with something in it that nobody should open."""

    code = "bad_foreign_bag"


class BagConflict(StoreError):
    """The series has another bag of this encoder, or the encoder's bags have rows of another kind."""

    code = "bag_conflict"


class BadPixels(StoreError):
    """A file of kept pixels that breaks the format."""

    code = "bad_pixels"


class SliceNotKept(BadPixels):
    """The slice could not be decoded when the pixels were kept."""

    code = "slice_not_kept"


class UnknownSeries(StoreError):
    """The project has no such series."""

    code = "unknown_series"


class UnknownStack(StoreError):
    """The series has no stack of this number."""

    code = "unknown_stack"


class UnknownJob(StoreError):
    """The project has no such job."""

    code = "unknown_job"


class UnknownHead(StoreError):
    """The project has no such head."""

    code = "unknown_head"


class PixelsNotKept(StoreError):
    """The series was uploaded without `retain`, so its pixels are gone."""

    code = "pixels_not_kept"


class NotCancellable(StoreError):
    """The job is final already."""

    code = "not_cancellable"


class NotRetryable(StoreError):
    """The job did not fail, or what it needs is gone."""

    code = "not_retryable"


class NotPromotable(StoreError):
    """The head version is not trained."""

    code = "not_promotable"


class NoEarlierVersion(StoreError):
    """The name of a head meant no other version before that is still there."""

    code = "no_earlier_version"


class UnknownGroup(StoreError):
    """The project has no such group."""

    code = "unknown_group"


class PolicyFixed(StoreError):
    """The project was made with another policy for UIDs or patients than the settings ask for."""

    code = "policy_fixed"


class KeyMismatch(StoreError):
    """This process has another pseudonym key than the project, or none."""

    code = "key_mismatch"


class UploadMissing(StoreError):
    """Staging holds no such upload."""

    code = "upload_missing"


class SearchTooBroad(StoreError):
    """A search would have to read more of the catalogue than one may."""

    code = "search_too_broad"


class BadSources(StoreError):
    """The settings that name PACS are not usable; the sentence says where, and never shows a value."""

    code = "bad_sources"


class PacsError(StoreError):
    """A PACS did not give what was asked of it. Sentences name the PACS as the settings do, and nothing that it sent."""

    code = "pacs_failed"
    retryable: ClassVar[bool] = False


class PacsUnavailable(PacsError):
    """The PACS does not answer, or stopped in the middle; it may be asked again."""

    code = "pacs_unavailable"
    retryable = True


class PacsRefused(PacsError):
    """The PACS says no: another key, calling AE title or move destination is needed."""

    code = "pacs_refused"


class UnknownSource(PacsError):
    """The settings name no such PACS."""

    code = "unknown_source"


class StudyNotFound(PacsError):
    """The PACS has no such study."""

    code = "study_not_found"


class NothingSelected(PacsError):
    """The PACS has the study, and the rules leave none of its series."""

    code = "nothing_selected"


class StudyTooLarge(PacsError):
    """The study is more than one upload may bring."""

    code = "study_too_large"
