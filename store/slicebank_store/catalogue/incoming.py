"""What the service hands to the catalogue when a series arrives, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slicebank_store.recipe import Recipe
from slicebank_store.types import JSON, BagLevel, JobState, Priority


@dataclass(frozen=True, slots=True)
class IncomingStack:
    """One stack of an uploaded series.

    Attributes:
        stack: its number within the series.
        slices: what a worker needs to decode each slice, inferior to superior.
        slice_digests: in the same order.
        content_digest: `identity.content_digest(slice_digests)`.
        geometry: as shown to users.
        rescale: as shown to users.
        rows: of a slice, pixels.
        columns: of a slice, pixels.
        field_of_view_mm: edge of the imaged square.
        axial: whether the slice normal is within 45 degrees of z.
    """

    stack: int
    slices: list[JSON]
    slice_digests: tuple[str, ...]
    content_digest: str
    n_slices: int
    geometry: JSON
    rescale: JSON
    rows: int
    columns: int
    field_of_view_mm: float
    axial: bool


@dataclass(frozen=True, slots=True)
class IncomingSeries:
    """One uploaded series.

    Attributes:
        patient: pseudonym, or what the uploader gave.
        default_stack: number of the stack to embed when none is asked for.
        options: import options.
        warnings: sentences for the uploader.
        named_by_sender: patient or study were given beside the files: they replace what is stored, bags included.
    """

    project: str
    series_uid: str
    study_uid: str
    patient: str
    body_part: str
    stacks: tuple[IncomingStack, ...]
    default_stack: int
    options: JSON
    warnings: tuple[str, ...] = ()
    named_by_sender: bool = False


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """What is to be done with an uploaded series.

    Attributes:
        recipe: how to embed it; None keeps the pixels alone.
        stack: number of the stack, "all", or None for the default.
        retain: whether to keep the pixels.
        staging: upload id of the files.
        level: of the encoder.
        dim: D, length of the encoder's rows.
        group: id of the group that the jobs belong to.
        case: number of the case in that group.
    """

    recipe: Recipe | None
    staging: str
    level: BagLevel = BagLevel.SLICE
    dim: int = 0
    stack: int | Literal["all"] | None = None
    priority: Priority = Priority.INTERACTIVE
    retain: bool = False
    group: str | None = None
    case: int | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one stack.

    Attributes:
        n_slices: of the stack.
        geometry: of the stack.
        stacks: all stacks of the revision, as in `RevisionRecord.stacks`.
        job_id: the job that makes, or made, the bag.
        bag_id: known before the bag exists; None without a recipe.
        state: of the job.
        hit: whether everything asked for existed already.
        created: whether the job was made now: its message is to be sent, and it needs the upload's files.
    """

    series_uid: str
    study_uid: str
    revision: int
    stack: int
    n_slices: int
    geometry: JSON
    stacks: list[JSON]
    job_id: str
    bag_id: str | None
    state: JobState
    hit: bool
    created: bool
