"""Answers from stored bags, with the attention of every row and slice."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.ensemble import HeadEnsemble, HeadPrediction
from slicebank_store.bags import Bag, read_bag
from slicebank_store.bags.format import MICROMETRES_PER_MM, SCAN_INDEX
from slicebank_store.catalogue.records import HeadRecord, PredictionRecord
from slicebank_store.types import BagLevel
from slicebank_worker.errors import BagMissing, HeadMissing
from slicebank_worker.jobs.windows import rows_of_windows
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime

# Five folds of the published head on 576-d rows are 5.6 MB.
_HEADS_KEPT = 32


class Predictor:
    """Runs predict jobs; keeps the heads it used last in memory."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._heads: OrderedDict[str, HeadEnsemble] = OrderedDict()

    def run(self, hold: Hold) -> bool:
        """Answers one head's question about one bag."""
        job = hold.lease.job
        head = self._runtime.catalogue.heads.get(job.project, job.params["head_id"])
        record = self._runtime.catalogue.bags.get(job.project, job.params["bag_id"])
        if head is None or head.blob_key is None:
            raise HeadMissing(f"head {job.params['head_id']} is not there, or was never trained to its end")
        if record is None:
            raise BagMissing(f"bag {job.params['bag_id']} is not there; embed its series again")
        with hold.stage("read_s"):
            ensemble = self._ensemble(head)
            with self._runtime.blobs.open_local(record.blob_key) as path:
                bag = read_bag(path)
        with hold.stage("predict_s"):
            rows = rows_of_windows(bag, head.training.get("windows"))
            answer = ensemble.predict(bag.features[rows])
        prediction = PredictionRecord(
            project=job.project,
            prediction_id=job.prediction_id or "",
            head_id=head.head_id,
            bag_id=record.bag_id,
            series_uid=record.series_uid,
            study_uid=record.study_uid,
            outputs=[
                {"label": o.label, "probability": o.probability, "logit": o.logit, "fold_std": o.fold_std}
                for o in answer.outputs
            ],
            attention=attention_json(bag, rows, answer),
            created_at=time.time(),
        )
        result = {"prediction_id": prediction.prediction_id}
        return self._runtime.catalogue.jobs.succeed(hold.lease, result, stages=hold.stages, prediction=prediction)

    def _ensemble(self, head: HeadRecord) -> HeadEnsemble:
        if head.head_id not in self._heads:
            assert head.blob_key is not None  # noqa: S101 - the caller looked
            with self._runtime.blobs.open_local(head.blob_key) as path:
                self._heads[head.head_id] = HeadEnsemble.from_bytes(path.read_bytes())
            while len(self._heads) > _HEADS_KEPT:
                self._heads.popitem(last=False)
        self._heads.move_to_end(head.head_id)
        return self._heads[head.head_id]


def attention_json(bag: Bag, rows: NDArray[np.intp], answer: HeadPrediction) -> dict[str, Any]:
    """Attention by row and by slice.

    Args:
        bag: the bag that was asked about.
        rows: (n) rows of the bag that the head read.
        answer: what it said; attention in the order of `rows`.

    Returns:
        `rows`, one object a row that the head read; `slices`, one object a slice: its weight is the sum over its rows, rank 1 is the
        slice with the greatest weight. Weights sum to 1 in both.
    """
    by_row: list[dict[str, Any]] = []
    by_slice: dict[int, float] = {}
    for at, row in enumerate(rows):
        slice_index = int(bag.slice_index[row])
        weight = float(answer.attention[at])
        if bag.level is BagLevel.SCAN:
            by_row.append(_scan_row(int(row), weight, float(answer.attention_logits[at]), bag))
            continue
        position = bag.slice_position(slice_index)
        by_slice[slice_index] = by_slice.get(slice_index, 0.0) + weight
        by_row.append(
            {
                "row": int(row),
                "slice_index": slice_index,
                "window": bag.windows[int(bag.window_index[row])].name,
                "sop_instance_uid": bag.sop_instance_uid[position],
                "instance_number": bag.instance(slice_index),
                "z_mm": float(bag.z_mm[position]),
                "weight": weight,
                "logit": float(answer.attention_logits[at]),
            }
        )
    ranked = sorted(by_slice, key=lambda index: (-by_slice[index], index))
    rank = {index: number for number, index in enumerate(ranked, start=1)}
    slices = [
        {
            "slice_index": index,
            "sop_instance_uid": bag.sop_instance_uid[bag.slice_position(index)],
            "weight": by_slice[index],
            "rank": rank[index],
        }
        for index in sorted(by_slice)
    ]
    return {"rows": by_row, "slices": slices}


def _scan_row(row: int, weight: float, logit: float, bag: Bag) -> dict[str, Any]:
    """The one row of a scan-level bag, which belongs to no slice."""
    return {
        "row": row,
        "slice_index": SCAN_INDEX,
        "window": None,
        "sop_instance_uid": None,
        "instance_number": None,
        "z_mm": float(bag.coords[row, 0]) / MICROMETRES_PER_MM,
        "weight": weight,
        "logit": logit,
    }
