"""What the service refuses itself; what the other rooms refuse keeps its own error and code.

ServiceError
├── Unauthorized            no key, or another one
├── AdminsOnly              the key is right, and not an administrator's
├── UploadError             the upload as a whole cannot be used
│   ├── EmptyBody           no bytes
│   ├── MalformedUpload     not the multipart it claims to be
│   ├── UnsupportedMedia    a content type or encoding nobody here reads
│   ├── BodyTooLarge        more bytes than the limit
│   ├── DigestMismatch      not the bytes that Content-Digest promised
│   ├── StorageFull         a disk that uploads need has less room left than is kept free
│   ├── ClientGone          the client went away in the middle
│   ├── UnsupportedTusVersion  a resumable upload in another version of the protocol
│   ├── OffsetMismatch      bytes that do not begin where the last ones ended
│   ├── ChecksumMismatch    not the bytes that Upload-Checksum promised
│   ├── UploadLocked        another request is at this upload
│   ├── UploadIncomplete    its answer was asked for before all of it had come
│   └── NothingUsable       every file was refused; carries the refusals
├── TooBusy                 more waits already than may; says when to ask again
│   ├── QueueFull           jobs
│   ├── StagingFull         bytes of uploads
│   └── TooManyUploads      resumable uploads
├── UnknownThing            it does not exist, or belongs to another project
│   ├── UnknownBag
│   ├── BagNotReady         its job is still at work; carries the job
│   ├── UnknownPrediction
│   ├── UnknownEvaluation
│   ├── UnknownPlot
│   ├── UnknownUpload
│   └── PredictionNotReady  its job is still at work; carries the job
├── LabelsUnmatched         labels and stored bags do not meet
│   ├── NoLabelMatches      no row names a stored bag
│   ├── SomeUnmatched       strict was asked for and some rows name no stored bag
│   ├── RecipeMixed         some rows name bags that were made otherwise than the head reads
│   └── LearntFrom          the head has learnt from every case that it shall be measured on
├── NothingToExport         no stored bag is meant, or bags of several recipes are
├── HeadNotReady            the head is not trained; carries its job
├── RecipeMismatch          the bag was made by another recipe than the head reads
├── PredictionFailed        the job that should have answered failed or was cancelled; carries the job
│   └── DependencyFailed    the job that should have made its bag did; carries the job that waited
├── ResultObjectRefused     no DICOM object can be made of a prediction
│   ├── UidsHashed          the project replaces UIDs, and an object must name the true ones
│   ├── NoSourceImages      the series came without SOP instances to refer to
│   └── OtherStudy          the header that was sent is of another study
├── PacsTakesNothing        the PACS is named for pulling alone: it is not a DICOMweb one
├── BadRequest              a value of the request makes no sense
├── NotOffered              a service of DICOMweb that is not offered here
└── RangeNotSatisfiable     the asked byte range lies outside the file
"""

from __future__ import annotations

from typing import Any, ClassVar


class ServiceError(Exception):
    """Anything this package raises for a caller to see.

    Attributes:
        detail: a sentence that says what to do next.
        extra: further members of the problem document.
    """

    code: ClassVar[str] = "service_error"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer must carry."""
        return {}


class Unauthorized(ServiceError):
    """The request carries no key, or another one."""

    code = "unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer must carry (RFC 9110, 11.6.1)."""
        return {"WWW-Authenticate": "Bearer"}


class AdminsOnly(ServiceError):
    """The key opens the project, and this is for administrators of the installation."""

    code = "admins_only"


class UploadError(ServiceError):
    """The upload as a whole cannot be used."""

    code = "upload_error"


class EmptyBody(UploadError):
    """The request has no bytes."""

    code = "empty_body"


class MalformedUpload(UploadError):
    """The body is not what its content type claims."""

    code = "malformed_upload"


class UnsupportedMedia(UploadError):
    """Nobody here reads this content type or encoding."""

    code = "unsupported_media_type"


class BodyTooLarge(UploadError):
    """The body is larger than the limit."""

    code = "body_too_large"


class DigestMismatch(UploadError):
    """The bytes are not those that Content-Digest promised (RFC 9530)."""

    code = "digest_mismatch"


class StorageFull(UploadError):
    """A disk that uploads need is full, or would be."""

    code = "storage_full"


class ClientGone(UploadError):
    """The client closed the connection in the middle of its upload."""

    code = "client_disconnected"


class UnsupportedTusVersion(UploadError):
    """The client of a resumable upload speaks another version of the protocol, or does not say which."""

    code = "unsupported_tus_version"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer must carry (tus 1.0, core protocol)."""
        return {"Tus-Version": "1.0.0"}


class OffsetMismatch(UploadError):
    """The bytes do not begin where the last ones ended."""

    code = "offset_mismatch"


class ChecksumMismatch(UploadError):
    """The bytes are not those that Upload-Checksum promised."""

    code = "checksum_mismatch"


class UploadLocked(UploadError):
    """Another request is at this upload."""

    code = "upload_locked"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer should carry."""
        return {"Retry-After": "1"}


class UploadIncomplete(UploadError):
    """Not all of the upload has come, or been taken in, yet."""

    code = "upload_incomplete"


class NothingUsable(UploadError):
    """Every file of the upload was refused."""

    code = "nothing_usable"


class TooBusy(ServiceError):
    """More of the project waits already than may; carries `retry_after_seconds`."""

    code = "too_busy"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer must carry (RFC 6585, 4)."""
        return {"Retry-After": str(self.extra["retry_after_seconds"])}


class QueueFull(TooBusy):
    """As many jobs wait as may."""

    code = "queue_full"


class StagingFull(TooBusy):
    """As many bytes of uploads wait as may."""

    code = "staging_full"


class TooManyUploads(TooBusy):
    """As many resumable uploads are open as may."""

    code = "too_many_uploads"


class UnknownThing(ServiceError):
    """It does not exist, or belongs to another project."""

    code = "unknown_thing"


class UnknownBag(UnknownThing):
    """The project has no such bag."""

    code = "unknown_bag"


class BagNotReady(UnknownThing):
    """The bag's job is still at work."""

    code = "bag_not_ready"


class UnknownPrediction(UnknownThing):
    """The project has no such prediction."""

    code = "unknown_prediction"


class UnknownEvaluation(UnknownThing):
    """No such evaluation in the project."""

    code = "unknown_evaluation"


class UnknownPlot(UnknownThing):
    """The head has no such figure."""

    code = "unknown_plot"


class UnknownUpload(UnknownThing):
    """The project has no such resumable upload, or none any more."""

    code = "unknown_upload"


class PredictionNotReady(UnknownThing):
    """The prediction's job is still at work."""

    code = "prediction_not_ready"


class LabelsUnmatched(ServiceError):
    """Labels and stored bags do not meet."""

    code = "labels_unmatched"


class NoLabelMatches(LabelsUnmatched):
    """No row of the labels names a stored bag."""

    code = "no_label_matches"


class SomeUnmatched(LabelsUnmatched):
    """Strict was asked for and some rows name no stored bag."""

    code = "some_unmatched"


class RecipeMixed(LabelsUnmatched):
    """Some rows name bags of the encoder that were made under another recipe than the head reads."""

    code = "recipe_mixed"


class LearntFrom(LabelsUnmatched):
    """A head cannot be measured on patients that it has learnt from."""

    code = "learnt_from"


class NothingToExport(ServiceError):
    """No stored bag is meant, or bags of several recipes are."""

    code = "nothing_to_export"


class HeadNotReady(ServiceError):
    """The head is not trained, yet or for good."""

    code = "head_not_ready"


class RecipeMismatch(ServiceError):
    """The bag was made by another recipe than the head reads."""

    code = "recipe_mismatch"


class PredictionFailed(ServiceError):
    """The job that should have answered failed or was cancelled."""

    code = "prediction_failed"


class DependencyFailed(PredictionFailed):
    """The job that should have made the bag to answer from failed or was cancelled."""

    code = "dependency_failed"


class ResultObjectRefused(ServiceError):
    """No DICOM object can be made of a prediction."""

    code = "result_object_refused"


class UidsHashed(ResultObjectRefused):
    """The project replaces UIDs, and an object must name the true ones."""

    code = "uids_hashed"


class NoSourceImages(ResultObjectRefused):
    """The series came without SOP instances to refer to."""

    code = "no_source_images"


class OtherStudy(ResultObjectRefused):
    """The header that was sent is of another study than the prediction."""

    code = "other_study"


class PacsTakesNothing(ServiceError):
    """The PACS is named by DIMSE, and objects are sent by STOW-RS."""

    code = "pacs_takes_nothing"


class BadRequest(ServiceError):
    """A value of the request makes no sense."""

    code = "bad_request"


class NotOffered(ServiceError):
    """DICOMweb knows this service, and it is not offered here."""

    code = "not_offered"


class RangeNotSatisfiable(ServiceError):
    """The asked byte range lies outside the file."""

    code = "range_not_satisfiable"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer must carry (RFC 9110, 15.5.17)."""
        return {"Content-Range": f"bytes */{self.extra['size_bytes']}"}
