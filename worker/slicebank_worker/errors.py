"""What can go wrong in a worker.

WorkerError
├── JobError                the job cannot go on as it is; carries a code and whether another attempt may help
│   ├── DecodeShare         too many slices of the series failed to decode
│   ├── StagingMissing      the uploaded files are gone
│   ├── EncoderUnavailable  the encoder has other weights than the job wants, or cannot be built
│   ├── WeightsLacking      the encoder's weights are not on this machine, or are damaged
│   ├── PullFailed          an encoder could not be pulled; the code says why
│   ├── BagMissing          a bag that the job needs was deleted
│   ├── HeadMissing         the head is not there
│   ├── PixelsMissing       the kept pixels of the series cannot be read
│   ├── DeviceMemoryShort   not even one slice fits into the device's memory
│   ├── WindowMissing       a bag lacks a window that the head reads
│   ├── NothingUsable       no file of a study can be taken in
│   ├── PacsFailed          a PACS did not give what was asked of it; the code says why
│   └── TrainingFailed      the cohort cannot be learnt from
└── Interrupted             not the job's fault
    ├── LeaseLost           another worker owns the job now
    ├── JobCancelled        somebody asked for its end
    └── WorkerStopping      the process is being shut down; the job goes back to the queue
"""

from __future__ import annotations

from slicebank_store.types import JSON


class WorkerError(Exception):
    """Anything this package raises."""


class JobError(WorkerError):
    """The job failed for a reason of its own.

    Attributes:
        result: what readers of the failed job are told beside the sentence; None for nothing.
    """

    code: str = "job_failed"
    retryable: bool = True
    result: JSON | None = None


class DecodeShare(JobError):
    """More slices failed to decode than a bag may lack."""

    code = "decode_failed"
    retryable = False


class StagingMissing(JobError):
    """The files of the upload are no longer in staging."""

    code = "staging_missing"
    retryable = False


class EncoderUnavailable(JobError):
    """The encoder named by the recipe cannot be loaded with the weights that the recipe names."""

    code = "encoder_unavailable"
    retryable = False


class WeightsLacking(JobError):
    """The weights of the job's encoder are not on this machine, or are damaged; the same worker will not find them by trying again."""

    code = "weights_missing"
    retryable = False


class PullFailed(JobError):
    """An encoder could not be pulled; the code is that of the error that says why."""

    code = "pull_failed"

    def __init__(self, detail: str, code: str, *, retryable: bool) -> None:
        super().__init__(detail)
        self.code = code
        self.retryable = retryable


class BagMissing(JobError):
    """A bag that the job needs is not in the catalogue."""

    code = "bag_missing"
    retryable = False


class HeadMissing(JobError):
    """The head is not in the catalogue, or has no weights."""

    code = "head_missing"
    retryable = False


class WindowMissing(JobError):
    """A bag lacks a window that the head reads."""

    code = "window_missing"
    retryable = False


class PixelsMissing(JobError):
    """The kept pixels of the series cannot be read."""

    code = "pixels_missing"
    retryable = False


class DeviceMemoryShort(JobError):
    """A batch does not fit into the device's memory. The engine halves it; of one slice, the job ends with this."""

    code = "out_of_memory"
    # Another process may have held the memory.
    retryable = True


class NothingUsable(JobError):
    """No file of the study can be taken in; `result` says why, file by file."""

    code = "nothing_usable"
    retryable = False

    def __init__(self, detail: str, result: JSON) -> None:
        super().__init__(detail)
        self.result = result


class PacsFailed(JobError):
    """A PACS did not give what was asked of it; the code is that of the error that says why."""

    code = "pacs_failed"

    def __init__(self, detail: str, code: str, *, retryable: bool, result: JSON | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.retryable = retryable
        self.result = result


class TrainingFailed(JobError):
    """The head cannot be trained on this cohort; the code is that of the error that says why."""

    code = "training_failed"
    retryable = False

    def __init__(self, detail: str, code: str) -> None:
        super().__init__(detail)
        self.code = code


class Interrupted(WorkerError):
    """The job stops here through no fault of its own."""


class LeaseLost(Interrupted):
    """The lease ran out; whatever this worker computed must not be committed."""


class JobCancelled(Interrupted):
    """Cancellation was requested."""


class WorkerStopping(Interrupted):
    """The worker process is shutting down."""
