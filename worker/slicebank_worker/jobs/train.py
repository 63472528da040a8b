"""Training a head on stored bags."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import ModelsError, TrainingCancelled
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskSpec, TrainingSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.train_head import train_head
from slicebank_store.bags import read_ahead, read_bag_rows, read_features
from slicebank_store.blobs import DirectoryBlobs
from slicebank_store.blobs.keys import head_key
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.jobs import HeadOutcome
from slicebank_store.catalogue.records import BagRecord
from slicebank_store.errors import StoreError
from slicebank_store.types import JSON
from slicebank_worker.device import choose_devices
from slicebank_worker.errors import BagMissing, JobCancelled, TrainingFailed
from slicebank_worker.jobs.patience import patiently
from slicebank_worker.jobs.windows import rows_of_windows
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime


class StoredBags:
    """Bags of the store by their index in a cohort: a `BagSource`, `NamedBags` and `ExpectingBags`.

    Args:
        records: by index, the bags whose rows are laid end to end.
    """

    def __init__(
        self, runtime: Runtime, records: Sequence[Sequence[BagRecord]], windows: Sequence[str] | None, hold: Hold
    ) -> None:
        self._runtime = runtime
        self._records = records
        self._windows = windows
        self._hold = hold

    def features(self, index: int) -> NDArray[np.float32]:
        """Rows (N, D) of one case in the head's windows."""
        self._hold.check()
        with self._hold.stage("read_s"):
            bags = [self._rows(record) for record in self._records[index]]
        return bags[0] if len(bags) == 1 else np.concatenate(bags)

    def expect(self, index: int) -> None:
        """Begins to read a case's files where they are on a disk of this machine."""
        blobs = self._runtime.blobs
        if isinstance(blobs, DirectoryBlobs):
            for record in self._records[index]:
                with suppress(StoreError), blobs.open_local(record.blob_key) as path:
                    read_ahead(path)

    def name(self, index: int) -> str:
        """Content digests of what the case's bags were made from: neither encoder nor arrival changes them."""
        return " ".join(record.content_digest for record in self._records[index])

    def _rows(self, record: BagRecord) -> NDArray[np.float32]:
        with self._runtime.blobs.open_local(record.blob_key) as path:
            if not self._windows:
                return read_features(path)
            bag = read_bag_rows(path)
        return bag.features[rows_of_windows(bag, self._windows)]


class Trainer:
    """Runs train jobs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def run(self, hold: Hold) -> bool:
        """Trains one version of a head and stores it."""
        job = hold.lease.job
        params = job.params
        head_id = job.head_id or ""
        training = TrainingSpec.parse(params["training"])
        records = bags_of_cases(self._runtime.catalogue, job.project, params["cases"])
        cases = [
            Case(index, case["patient"], tuple(case["target"]), case.get("unit", ""), case.get("site", ""))
            for index, case in enumerate(params["cases"])
        ]

        def progress(done: int, total: int) -> bool:
            hold.progress(done, total, "steps")
            return hold.interrupted

        try:
            trained = train_head(
                StoredBags(self._runtime, records, training.windows, hold),
                cases,
                TaskSpec.parse(params["task"]),
                training,
                head=HeadSpec.parse(params.get("head")),
                protocol=ProtocolSpec.parse(params.get("protocol")),
                dim=params["dim"],
                level=EncoderLevel(params["level"]),
                progress=progress,
                device=choose_devices(self._runtime.settings.device)[0],
                scratch=self._runtime.scratch,
            )
        except TrainingCancelled as cancelled:
            hold.check()
            raise JobCancelled(job.job_id) from cancelled
        except ModelsError as error:
            raise TrainingFailed(str(error), error.code) from error
        hold.report()
        ensemble = trained.ensemble
        weights = ensemble.with_calibration(ensemble.calibration, recipe_digest=params["recipe_digest"]).to_bytes()
        key = head_key(job.project, head_id, hold.lease.fence)
        with hold.stage("write_s"):
            size = patiently(hold, partial(self._runtime.blobs.put_bytes, key, weights))
        series = {record.bag_id: record.series_uid for case in records for record in case}
        report = {
            **trained.report,
            "cases": [{**case, "series_uid": series[bag_ids_of(case)[0]]} for case in params["cases"]],
        }
        metrics = {
            name: report[name]
            for name in ("folds", "mean", "sd", "pooled", "test", "n_cases", "n_patients", "warnings")
        }
        outcome = HeadOutcome(
            head_id=head_id,
            blob_key=key,
            sha256=hashlib.sha256(weights).hexdigest(),
            size_bytes=size,
            metrics=metrics,
            report=report,
        )
        succeed = partial(self._runtime.catalogue.jobs.succeed, hold.lease, {"head_id": head_id}, head=outcome)
        committed = patiently(hold, partial(succeed, stages=hold.stages))
        if not committed:
            self._runtime.blobs.delete(key)
        return committed


def bag_ids_of(case: JSON) -> list[str]:
    """Ids of the bags of a case whose rows are laid end to end; jobs of older versions name one."""
    return list(case.get("bag_ids") or [case["bag_id"]])


def bags_of_cases(catalogue: Catalogue, project: str, cases: Sequence[JSON]) -> list[list[BagRecord]]:
    """The bags of each case.

    Raises:
        BagMissing: one was deleted.
    """
    found: list[list[BagRecord]] = []
    for case in cases:
        found.append([])
        for bag_id in bag_ids_of(case):
            record = catalogue.bags.get(project, bag_id)
            if record is None:
                raise BagMissing(f"bag {bag_id} of the cohort was deleted; ask again without it")
            found[-1].append(record)
    return found
