"""One head an encoder by the task's protocol: those that were trained on the same before are used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicebank.benchmark.case import Case
from slicebank.benchmark.embedding import Bags
from slicebank.benchmark.label_rules import Answers
from slicebank.benchmark.ledger import Embedded
from slicebank.benchmark.state_file import read_json, write_json
from slicebank.benchmark.task_file import BenchmarkTask
from slicebank.client import Client
from slicebank.errors import ApiError, BadLabels, JobError, NotFound
from slicebank.records import Encoder, Head, Job, Task

JSON = dict[str, Any]
OnJob = Callable[[Job], object]
READY = "ready"


@dataclass(frozen=True, slots=True)
class Trained:
    """A head that is ready.

    Attributes:
        reused: Whether an earlier run trained it.
        windows: Whose rows it reads; empty for all that its bags have.
    """

    head: Head
    reused: bool
    windows: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def label_rows(task: BenchmarkTask, cases: Sequence[Case], bags: Bags, answers: Mapping[str, Answers]) -> list[JSON]:
    """Rows of the labels table, the same for all encoders: one a series, study or patient.

    Raises:
        BadLabels: two cases of one patient have different answers, in a task that labels patients.
    """
    rows: dict[str, JSON] = {}
    for case in cases:
        for key in _keys(task, case, bags):
            row = {task.key: key, **answers[case.name]}
            if rows.setdefault(key, row) != row:
                raise BadLabels(
                    f"Two rows of {key[:64]} have different answers, in a task whose labels are those of a {task.key}."
                )
    return [rows[key] for key in sorted(rows)]


def _keys(task: BenchmarkTask, case: Case, bags: Bags) -> list[str]:
    if case.uid:
        return [case.uid]
    if task.key == "patient":
        return [case.patient]
    return sorted({uid for found in bags.by_encoder.values() for uid in found[case.name].series})


class Trainer:
    """Trains the heads of one task.

    Args:
        client: of the server.
        task: with settings.
        rows: labels.
        folder: where it is noted which head answers which request.
    """

    def __init__(self, client: Client, task: BenchmarkTask, rows: list[JSON], folder: Path) -> None:
        self._client = client
        self._task = task
        self._rows = rows
        self._folder = folder

    def ask(self, encoder: Encoder, embedded: Mapping[str, Embedded]) -> None:
        """Queues a training, unless the same one was asked for before and did not fail.

        Raises:
            ApiError: the server refused it; the sentence says why.
        """
        note = self._folder / f"{encoder.id}.json"
        digest = self._digest(encoder, embedded)
        known = read_json(note)
        if known.get("digest") == digest and self._stands(str(known.get("head_id", ""))):
            return
        task = self._task
        windows = windows_of(task, encoder)
        started = self._client.heads.train(
            f"{task.name}.{encoder.id}"[:128],
            encoder.id,
            Task(task.kind, task.labels),
            self._rows,
            {**task.training, **({"windows": list(windows)} if windows else {})},
            head=task.head or None,
            protocol=task.protocol or None,
        )
        write_json(
            note,
            {
                "digest": digest,
                "head_id": started.head_id,
                "job_id": started.job_id,
                "unmatched": list(started.unmatched),
                "warnings": list(started.warnings),
                "fresh": True,
            },
        )

    def wait(self, encoder: Encoder, on_job: OnJob | None = None) -> Trained:
        """Waits for the head that was asked for.

        Raises:
            JobError: its training failed.
        """
        note = self._folder / f"{encoder.id}.json"
        known = read_json(note)
        head = self._client.heads.get(known["head_id"])
        if head.state != READY:
            self._client.jobs.wait(known["job_id"], on_progress=on_job)
            head = self._client.heads.get(known["head_id"])
        if known.get("fresh"):
            write_json(note, {**known, "fresh": False})
        said = dict.fromkeys([*known.get("warnings", ()), *(head.metrics.get("warnings") or ())])
        if known.get("unmatched"):
            said[f"{len(known['unmatched'])} rows of the labels had no bag."] = None
        return Trained(head, not known.get("fresh"), windows_of(self._task, encoder) or _names(encoder), tuple(said))

    def _stands(self, head_id: str) -> bool:
        try:
            return self._client.heads.get(head_id).state in (READY, "training")
        except NotFound:
            return False

    def _digest(self, encoder: Encoder, embedded: Mapping[str, Embedded]) -> str:
        """Of everything that decides what the head becomes."""
        task = self._task
        asked = {
            "encoder": encoder.id,
            "weights": encoder.weights_digest,
            "bags": sorted(bag for item in embedded.values() for bag in item.bags),
            "rows": self._rows,
            "task": [task.kind, list(task.labels), task.key],
            "settings": [task.training, task.head, task.protocol, windows_of(task, encoder)],
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def windows_of(task: BenchmarkTask, encoder: Encoder) -> tuple[str, ...]:
    """The task's windows; none where the encoder's bags lack one of them, which then give all rows that they have."""
    return task.windows if set(task.windows) <= set(_names(encoder)) else ()


def _names(encoder: Encoder) -> tuple[str, ...]:
    return tuple(window if isinstance(window, str) else str(window.get("name", "")) for window in encoder.windows)


def train_all(
    trainer: Trainer, encoders: Sequence[Encoder], bags: Bags, on_job: Callable[[Encoder, Job], object] | None = None
) -> tuple[dict[str, Trained], dict[str, str]]:
    """Asks for all trainings, then waits for each.

    Returns:
        Heads by encoder, and why there is none for others.
    """
    trained: dict[str, Trained] = {}
    failed: dict[str, str] = {}
    for encoder in encoders:
        try:
            trainer.ask(encoder, bags.by_encoder[encoder.id])
        except ApiError as error:
            if error.status >= 500 or error.status in (401, 403, 429):
                raise
            failed[encoder.id] = error.detail
    for encoder in encoders:
        if encoder.id in failed:
            continue
        try:
            trained[encoder.id] = trainer.wait(encoder, None if on_job is None else _about(on_job, encoder))
        except JobError as error:
            failed[encoder.id] = error.detail
    return trained, failed


def _about(on_job: Callable[[Encoder, Job], object], encoder: Encoder) -> OnJob:
    return lambda job: on_job(encoder, job)
