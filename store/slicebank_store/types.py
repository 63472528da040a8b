"""Closed sets and small shared types of the store."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

JSON = dict[str, Any]
"""A JSON object."""

DEFAULT_PROJECT = "default"
"""The project of an installation that names none."""


class JobKind(StrEnum):
    """What a job does."""

    EMBED = "embed"
    TRAIN = "train"
    PREDICT = "predict"
    IMPORT = "import"
    PULL = "pull"
    EVALUATE = "evaluate"

    @property
    def queue(self) -> str:
        """Name of the worker queue: embed workers bring what comes over the network, beside what they compute; train workers measure heads."""
        if self is JobKind.EVALUATE:
            return JobKind.TRAIN.value
        return JobKind.EMBED.value if self.transfers else self.value

    @property
    def transfers(self) -> bool:
        """Whether the job waits for networks and disks more than it computes: such jobs have hands of their own."""
        return self in (JobKind.IMPORT, JobKind.PULL)


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job has ended; only `retry` leaves a final state."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Priority(StrEnum):
    """Which jobs go first."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class BagLevel(StrEnum):
    """What one row of a bag stands for."""

    SLICE = "slice"
    SCAN = "scan"


class HeadState(StrEnum):
    """Where a head version stands."""

    TRAINING = "training"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class HeadPart(StrEnum):
    """On which side of the head's training a series stood."""

    TRAIN = "train"
    TEST = "test"


class PixelSource(StrEnum):
    """Where an embed job finds its pixels."""

    STAGING = "staging"
    KEPT = "kept"


class StudySource(StrEnum):
    """Where an import job that takes a study in finds its files."""

    ARRIVAL = "arrival"
    PACS = "pacs"
