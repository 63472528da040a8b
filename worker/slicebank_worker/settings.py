"""What a worker process can be told, from the environment (prefix `SLICEBANK_`)."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from slicebank_store.settings import UploadSettings


class WorkerSettings(UploadSettings):
    """Settings of one worker process."""

    device: str = Field(
        "auto",
        description="Devices of the encoder: auto (every CUDA device, or else the CPU), cpu, cuda (every one), "
        "cuda:N, or a list such as cuda:0,cuda:1. Heads are trained on the first.",
    )
    runners: int = Field(
        0,
        ge=0,
        description="On a CPU: threads that each encode a batch of their own; 0 is one a core, at most 16.",
    )
    batch_rows: int = Field(
        0,
        ge=0,
        description="Rows of a full batch; 0 finds the fastest size while working: 2 to 16 on a CPU, 32 to 256 on a GPU.",
    )
    batch_memory_mb: int = Field(
        0,
        ge=0,
        description="MiB that batches in hand on one device may take together, by what encoders' cards say of a row; "
        "0 is a quarter of the machine's memory, or four fifths of a GPU's.",
    )
    jobs_at_once: int = Field(
        4,
        ge=1,
        description="Embed jobs that run side by side in one worker; their slices share batches. One of them is never a bulk job.",
    )
    imports_at_once: int = Field(
        4,
        ge=1,
        description="Import jobs that one embed worker runs beside its embed jobs; they wait for disks, networks and PACS more than they "
        "compute. One of them is never a bulk job.",
    )
    decode_threads: int = Field(
        default_factory=lambda: max(1, min(16, os.cpu_count() or 1)),
        ge=1,
        description="Threads that decode pixels, shared by all jobs.",
    )
    lease_seconds: float = Field(
        15.0,
        gt=0,
        description="How long a job stays with a worker that is silent; a crash delays its jobs by this much.",
    )
    heartbeat_seconds: float = Field(
        3.0, gt=0, description="How often a worker renews its leases; several must fit into a lease."
    )
    sweep_seconds: float = Field(
        3.0, gt=0, description="How often a worker looks for jobs whose message or worker was lost."
    )
    redispatch_seconds: float = Field(
        30.0,
        gt=0,
        description="A queued job whose message is older than this is sent again; a second message does no harm.",
    )
    postpone_seconds: float = Field(
        10.0,
        gt=0,
        le=60,
        description="How long a job waits, uncounted, when a disk is full or the store is away, before it is tried again.",
    )
    report_seconds: float = Field(
        2.0, gt=0, le=5, description="How often a worker tells how busy it is; silent for 15 s, it leaves the list."
    )
    missing_share: float = Field(
        0.05, ge=0, le=1, description="Share of a series' slices that may fail to decode before the job fails."
    )
    thumbnails: bool = Field(True, description="Keep a 256 px JPEG of every slice in the bag.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port that answers Prometheus, of each worker process its own; 0 opens none.",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address of that port; it asks for no key, so the default is this machine alone."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
