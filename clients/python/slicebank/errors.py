"""Everything the SDK raises.

SlicebankError
├── SetupError
│   ├── ServerNotFound        no address of a server is known
│   └── MissingExtra          a package of an optional extra is not installed
├── InputError
│   ├── PathNotFound          a path that was named does not exist or cannot be read
│   ├── NothingToUpload       no file that could be CT
│   ├── FileChanged           a file changed while it was being sent
│   ├── BadLabels             a labels table that cannot be sent
│   ├── BadTable              a table of a cohort that cannot be read
│   ├── BadTaskFile           a task of a benchmark that cannot be read
│   └── DatasetProblem        a data set that is not laid out as it is published
├── TransportError
│   ├── ConnectionFailed      nobody answers at the address
│   ├── RequestTimedOut       no answer in time
│   ├── UploadInterrupted     the connection broke between the requests of one upload
│   ├── UnexpectedAnswer      an answer that is not slicebank's
│   └── ChecksumMismatch      a download that is not what the server holds
├── JobError
│   ├── JobFailed
│   ├── JobCancelled
│   └── WaitTimedOut          the job goes on, only the waiting ended
├── CohortTimedOut            the cohort goes on, only the waiting ended
└── ApiError                  the server said no; `code`, `status`, `request_id` are its own
    ├── NotAuthorised         401, 403
    ├── NotFound              404
    │   └── NotReady          404 before a bag or prediction exists; `job_id` is what makes it
    ├── Conflict              409
    ├── InvalidRequest        other 4xx
    │   └── NothingUsable     422 with the files that were refused, and why
    ├── TooManyRequests       429
    └── ServerFault           5xx
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slicebank.hints import hint_for

if TYPE_CHECKING:
    from slicebank.records import Job, RefusedSeries, Rejected, Upload


class SlicebankError(Exception):
    """Root of every error of the SDK: `str(error)` says what happened, `hint` what to do next."""

    code: str = "slicebank_error"
    default_hint: str = ""

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = self.default_hint if hint is None else hint


class SetupError(SlicebankError):
    """Something must be set up on this machine first."""

    code = "setup"


class ServerNotFound(SetupError):
    """No address of a server was given, set in the environment or left by `slicebank serve`."""

    code = "server_not_found"
    default_hint = (
        "Start one here with `slicebank serve`, or name one with --url and --api-key "
        "(in the environment: SLICEBANK_URL and SLICEBANK_API_KEY)."
    )


class MissingExtra(SetupError):
    """A feature needs a package that this installation does not have."""

    code = "missing_extra"

    def __init__(self, feature: str, *, extra: str, missing: str = "") -> None:
        what = f" ({missing} is missing)" if missing else ""
        super().__init__(
            f"{feature} needs packages that are not installed{what}.",
            hint=f"Install them with: pip install 'slicebank[{extra}]'",
        )
        self.extra = extra


class InputError(SlicebankError):
    """What was given cannot be used; nothing was sent for it."""

    code = "input"


class PathNotFound(InputError):
    """A path that was named does not exist or cannot be read."""

    code = "path_not_found"
    default_hint = "Check the spelling and the permissions of the path."


class NothingToUpload(InputError):
    """Nothing below the paths could be CT."""

    code = "nothing_to_upload"
    default_hint = "Name a DICOM file, a folder that holds DICOM files, a zip or tar of them, or a NIfTI volume."


class FileChanged(InputError):
    """A file became shorter or vanished while it was being sent."""

    code = "file_changed"
    default_hint = "Wait until the folder is complete, then upload it again; what arrived before is recognised."


class BadLabels(InputError):
    """A labels table that is empty, has no header, or has rows that do not agree."""

    code = "bad_labels"
    default_hint = "The first column is series_uid, study_uid or patient; every further column is one label."


class BadTable(InputError):
    """The table of a cohort is unreadable, empty, or has rows that name nothing."""

    code = "bad_table"
    default_hint = "A row has a path or a study_uid, and may have a patient; every further column is left alone."


class BadTaskFile(InputError):
    """The task file of a benchmark is unreadable, or has a key or value that means nothing."""

    code = "bad_task_file"
    default_hint = "`slicebank benchmark --show TASK` prints a task that ships, to begin with."


class DatasetProblem(InputError):
    """A data set's folder or tables are not what its publisher gives out."""

    code = "dataset_problem"
    default_hint = "docs/benchmark.md says which files are needed and where they lie."


class TransportError(SlicebankError):
    """The exchange with the server broke."""

    code = "transport"


class ConnectionFailed(TransportError):
    """Nobody answers at the server's address, or the connection broke; `reached` says whether the request may have arrived."""

    code = "connection_failed"
    default_hint = "Start the server with `slicebank serve`, or check the address with `slicebank doctor`."

    def __init__(self, detail: str, *, hint: str | None = None, reached: bool = False) -> None:
        super().__init__(detail, hint=hint)
        self.reached = reached


class RequestTimedOut(TransportError):
    """The server did not answer in time."""

    code = "request_timed_out"
    default_hint = "Try again; a larger timeout can be given with --timeout or Client(timeout=...)."


class UploadInterrupted(TransportError):
    """The connection broke between the requests of one upload; `done` is what the server has taken in."""

    code = "upload_interrupted"
    default_hint = "Run the same upload again: series that arrived are recognised and not computed twice."

    def __init__(self, detail: str, *, done: Upload, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.done = done


class UnexpectedAnswer(TransportError):
    """The answer is not one that a slicebank server of this version gives."""

    code = "unexpected_answer"
    default_hint = "Check that the address is a slicebank server, and that client and server have the same version."


class ChecksumMismatch(TransportError):
    """A downloaded file differs from the checksum the server states; nothing was kept."""

    code = "checksum_mismatch"
    default_hint = "Download it again; if it happens twice, delete the bag and embed the series again."


class JobError(SlicebankError):
    """A job did not end in success; `job` is its last known state."""

    code = "job"

    def __init__(self, detail: str, *, job: Job, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.job = job


class JobFailed(JobError):
    """The job failed; its `error` names the reason."""

    code = "job_failed"
    default_hint = "When the cause is mended, `slicebank jobs retry JOB_ID` runs it again."


class JobCancelled(JobError):
    """The job was cancelled."""

    code = "job_cancelled"
    default_hint = "`slicebank jobs retry JOB_ID` runs it again."


class WaitTimedOut(JobError):
    """The job is not final yet; it goes on without the waiting."""

    code = "wait_timed_out"
    default_hint = (
        "Wait again with `slicebank jobs wait JOB_ID`, or see whether a worker runs with `slicebank workers list`."
    )


class CohortTimedOut(SlicebankError):
    """Not every case of a cohort is done yet; it goes on without the waiting."""

    code = "cohort_timed_out"
    default_hint = "Look again with `slicebank cohort show GROUP_ID`."


class ApiError(SlicebankError):
    """The server refused the request; `code` is the server's own and does not change between versions.

    `retry_after` is the time it named for asking again, seconds; None where it named none.
    """

    code = "api_error"

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str,
        request_id: str = "",
        problem: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.request_id = request_id
        self.problem: Mapping[str, Any] = problem or {}


class NotAuthorised(ApiError):
    """The key is missing, unknown, or not allowed to do this."""

    code = "not_authorised"
    default_hint = "Give the key with --api-key or SLICEBANK_API_KEY; `slicebank serve` writes it to client.json."


class NotFound(ApiError):
    """No such thing in this project."""

    code = "not_found"
    default_hint = "See what there is with `slicebank series list` (also bags, jobs, heads and encoders)."


class NotReady(NotFound):
    """The thing will exist when `job_id` has succeeded."""

    code = "not_ready"
    default_hint = "Wait for its job with `slicebank jobs wait JOB_ID`."

    @property
    def job_id(self) -> str | None:
        """The job that makes it, when the server named one."""
        job_id = self.problem.get("job_id")
        if job_id is None and isinstance(self.problem.get("job"), Mapping):
            job_id = self.problem["job"].get("job_id")
        return job_id if isinstance(job_id, str) else None


class Conflict(ApiError):
    """The request does not go with the state of the thing."""

    code = "conflict"


class InvalidRequest(ApiError):
    """The request is not one the server can serve; the detail says why."""

    code = "invalid_request"


class NothingUsable(InvalidRequest):
    """No file of the upload is a CT slice; `rejected` names each with its reason."""

    code = "nothing_usable"
    default_hint = "docs/verdicts.md says what to do about each code."

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The refused files."""
        from slicebank.records import Rejected, decode_all

        return decode_all(Rejected, self.problem.get("rejected"))

    @property
    def refused_series(self) -> tuple[RefusedSeries, ...]:
        """The series of which nothing was taken."""
        from slicebank.records import RefusedSeries, decode_all

        return decode_all(RefusedSeries, self.problem.get("refused_series"))


class TooManyRequests(ApiError):
    """The server asks for patience."""

    code = "too_many_requests"
    default_hint = "Wait a little and try again."


class ServerFault(ApiError):
    """The server failed; nothing is wrong with the request."""

    code = "server_fault"
    default_hint = "Try again; if it stays, send the request id and the server's log to whoever runs it."


def api_error(status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> ApiError:
    """Turn an error status, its problem+json (RFC 9457) and its Retry-After into the exception that stands for it."""
    code = str(problem.get("code") or f"http_{status}")
    detail = str(problem.get("detail") or problem.get("title") or f"The server answered with status {status}.")
    kind = _error_class(status, code, problem)
    return kind(
        detail,
        status=status,
        code=code,
        request_id=str(problem.get("request_id") or ""),
        problem=dict(problem),
        retry_after=retry_after,
        hint=hint_for(code, problem),
    )


def _error_class(status: int, code: str, problem: Mapping[str, Any]) -> type[ApiError]:
    if status in (401, 403):
        return NotAuthorised
    if status == 404:
        return NotReady if code.endswith("_not_ready") else NotFound
    if status == 409:
        return Conflict
    if status == 429:
        return TooManyRequests
    if status >= 500:
        return ServerFault
    return NothingUsable if status == 422 and "rejected" in problem else InvalidRequest
