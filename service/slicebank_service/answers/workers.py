"""A worker as the REST interface shows it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from slicebank_service.answers.times import iso
from slicebank_store.workers import BoundBy, WorkerStatus


class WorkerView(BaseModel):
    """A living worker; rates and shares are over its last window."""

    name: str = Field(description="Host, role and process id.")
    role: str = Field(description="embed, train or predict.")
    device: str | None = Field(description="What it encodes on; null where it encodes nothing.")
    started_at: str
    seen_at: str = Field(description="When it last reported, by its own clock.")
    jobs: int = Field(description="Jobs in hand.")
    encoders: list[str] = Field(description="Encoders in its memory.")
    lacking: list[str] = Field(description="Encoders that jobs asked it for and whose weights it does not have.")
    rows_total: int = Field(description="Rows encoded since it started.")
    rows_per_second: float
    window_s: float = Field(description="Length of the window, seconds.")
    utilisation: float | None = Field(description="Share of the window in which the device was encoding, 0 to 1.")
    decode_share: float | None = Field(description="Share of the decoding threads' time that was used, 0 to 1.")
    batch_rows: dict[str, int] = Field(description="Rows of a full batch now, by encoder.")
    bound_by: BoundBy | None = Field(description="What held it back; null where it cannot be said.")


class WorkerList(BaseModel):
    """The living workers, by role and name."""

    items: list[WorkerView]


def worker_view(status: WorkerStatus) -> WorkerView:
    """Shows a worker."""
    return WorkerView(
        name=status.name,
        role=status.role,
        device=status.device,
        started_at=iso(status.started_at),
        seen_at=iso(status.seen_at),
        jobs=status.jobs,
        encoders=status.encoders,
        lacking=status.lacking,
        rows_total=status.rows_total,
        rows_per_second=status.rows_per_second,
        window_s=status.window_s,
        utilisation=status.utilisation,
        decode_share=status.decode_share,
        batch_rows=status.batch_rows,
        bound_by=status.bound_by,
    )
