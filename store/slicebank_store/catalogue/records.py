"""Rows of the catalogue as values. Times are seconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from slicebank_store.types import JSON, BagLevel, HeadState, JobKind, JobState, Priority

T = TypeVar("T")

ALONE_AFTER_LOST_LEASES = 2
"""Lost leases after which a job runs alone, so that the job that kills its worker is told from its neighbours."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        next_cursor: give it back to get the next page; None on the last.
    """

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """One CT series of a project.

    Attributes:
        patient: pseudonym, or what the uploader gave.
        current_revision: number of the largest revision, the newest on a tie.
    """

    project: str
    series_uid: str
    study_uid: str
    patient: str
    body_part: str
    current_revision: int
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """One content of a series.

    Attributes:
        revision: counts from 1.
        n_slices: slices of all stacks together.
        default_stack: number of the stack that is embedded when none is asked for.
        stacks: one object a stack: `stack`, `n_slices`, `content_digest`, `geometry`, `rescale`, `rows`, `columns`,
            `field_of_view_mm`, `axial`, `default`, `pixels_kept`.
        options: import options.
        warnings: sentences for the uploader.
        pixels_kept: whether the pixels of any stack are kept.
    """

    revision: int
    n_slices: int
    default_stack: int
    stacks: list[JSON]
    options: JSON
    warnings: list[str]
    pixels_kept: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class KeptStack:
    """One stack whose pixels are kept.

    Attributes:
        patient: pseudonym, or what the uploader gave.
        default: whether it is its revision's default stack.
        pixels_key: where the pixels are.
    """

    series_uid: str
    study_uid: str
    patient: str
    revision: int
    stack: int
    default: bool
    n_slices: int
    geometry: JSON
    pixels_key: str


@dataclass(frozen=True, slots=True)
class BagRecord:
    """One bag.

    Attributes:
        recipe: `Recipe.as_dict()`.
        n_rows: N, rows of the bag.
        n_slices: slices in the bag, after those that failed to decode were left out.
        dim: D, length of a row.
        windows: one object a window: `name`, `low`, `high` (HU).
        sha256: of the file, hex.
        blob_key: where the file is.
        skipped: one object a slice left out: `slice_index` in the stack, `sop_instance_uid`, `detail`.
    """

    project: str
    bag_id: str
    series_uid: str
    study_uid: str
    patient: str
    revision: int
    stack: int
    encoder: str
    recipe: JSON
    recipe_digest: str
    weights_digest: str
    content_digest: str
    level: BagLevel
    n_rows: int
    n_slices: int
    dim: int
    dtype: str
    windows: list[JSON]
    sha256: str
    size_bytes: int
    blob_key: str
    created_at: float
    skipped: list[JSON] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job.

    Attributes:
        study_uid: of embed and import jobs.
        waits_for: id of a job that must succeed first.
        params: what the job is to do, by kind.
        staging: upload id of its files.
        stages: seconds by stage of the work.
        attempts: runs that count against the limit: the one now running, and those that failed by the job's own fault.
        lost_leases: runs in a row whose worker fell silent without getting further than any run before.
        result: what a succeeded job made.
        cancel_requested: whether a running job was asked to end.
        fence: fencing token of the newest lease.
        worker: who holds or last held the job.
        request_id: of the HTTP request that made it; None where none did.
        size: slices to do; None where that is not known when the job is made.
    """

    project: str
    job_id: str
    kind: JobKind
    state: JobState
    priority: Priority
    series_uid: str | None
    study_uid: str | None
    bag_id: str | None
    head_id: str | None
    prediction_id: str | None
    waits_for: str | None
    params: JSON
    staging: str | None
    progress_done: int
    progress_total: int | None
    progress_unit: str | None
    stages: JSON
    attempts: int
    lost_leases: int
    error_code: str | None
    error_detail: str | None
    result: JSON | None
    cancel_requested: bool
    created_at: float
    started_at: float | None
    finished_at: float | None
    fence: int
    worker: str | None
    request_id: str | None
    size: int | None

    @property
    def runs_alone(self) -> bool:
        """Whether a worker should run this job beside no other."""
        return self.lost_leases >= ALONE_AFTER_LOST_LEASES


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """One version of a head; it never changes once it is ready.

    Attributes:
        name: groups versions.
        version: counts from 1 within a name.
        promoted: whether the name means this version.
        dim: D, length of the rows it reads.
        recipe: `Recipe.as_dict()` of the bags it was trained on.
        task: kind and labels.
        training: training settings.
        metrics: figures of the folds and the test set; None until ready.
        blob_key: where the weights are; None until ready.
        n_cases: series in training and test.
        training_data_deleted: whether a series it learnt from was deleted since.
        head: architecture and its sizes.
        protocol: how it was judged, and how several bags of what it is asked about are pooled.
    """

    project: str
    head_id: str
    name: str
    version: int
    state: HeadState
    promoted: bool
    encoder: str
    level: BagLevel
    dim: int
    recipe: JSON
    recipe_digest: str
    task: JSON
    training: JSON
    metrics: JSON | None
    blob_key: str | None
    sha256: str | None
    size_bytes: int | None
    job_id: str
    n_cases: int
    training_data_deleted: bool
    created_at: float
    finished_at: float | None
    head: JSON
    protocol: JSON


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """The answer of one head version about one bag, or about several together.

    Attributes:
        bag_id: of several the one with the most slices.
        outputs: one object a label: `label`, `probability`, `logit`, `fold_std`, and what else the head's task gives.
        attention: `rows` and `slices`, as the service gives them out.
        about: `rule`, `in_training`, and `series`: one object a bag with `series_uid`, `bag_id`; {} in old answers.
    """

    project: str
    prediction_id: str
    head_id: str
    bag_id: str
    series_uid: str
    study_uid: str
    outputs: list[JSON]
    attention: JSON
    created_at: float
    about: JSON = field(default_factory=dict)

    @property
    def bag_ids(self) -> tuple[str, ...]:
        """Every bag that the answer is about, that of `bag_id` first."""
        return tuple(item["bag_id"] for item in self.about.get("series") or ()) or (self.bag_id,)
