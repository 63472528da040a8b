"""Answers from stored bags, with the attention of every row and slice."""

from __future__ import annotations

import time
from dataclasses import asdict

from slicebank_store.catalogue.records import PredictionRecord
from slicebank_worker.jobs.attention import Attended, attention_json
from slicebank_worker.jobs.head_answers import Heads, answer_about, read_bags
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime


class Predictor:
    """Runs predict jobs; keeps the heads it used last in memory."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._heads = Heads(runtime)

    def run(self, hold: Hold) -> bool:
        """Answers one head's question about one bag, or about several that are one case."""
        job = hold.lease.job
        catalogue = self._runtime.catalogue
        with hold.stage("read_s"):
            head, ensemble = self._heads.load(job.project, job.params["head_id"])
            bags = read_bags(self._runtime, head, job.params.get("bag_ids") or [job.params["bag_id"]])
        with hold.stage("predict_s"):
            answer = answer_about(head, ensemble, bags)
        records = [item.record for item in bags]
        learnt = catalogue.heads.learnt_from(
            job.project,
            head.head_id,
            series_uids=[record.series_uid for record in records],
            patients=[record.patient for record in records],
        )
        prediction = PredictionRecord(
            project=job.project,
            prediction_id=job.prediction_id or "",
            head_id=head.head_id,
            bag_id=records[0].bag_id,
            series_uid=records[0].series_uid,
            study_uid=records[0].study_uid,
            outputs=[asdict(output) for output in answer.outputs],
            attention=attention_json([Attended(item.record.series_uid, item.bag, item.rows) for item in bags], answer),
            created_at=time.time(),
            about={
                "in_training": learnt,
                "rule": job.params.get("rule"),
                "series": [
                    {"series_uid": item.record.series_uid, "bag_id": item.record.bag_id, "n_rows": len(item.rows)}
                    for item in bags
                ],
            },
        )
        result = {"prediction_id": prediction.prediction_id}
        return catalogue.jobs.succeed(hold.lease, result, stages=hold.stages, prediction=prediction)
