"""Answers from stored bags, with the attention of every row and slice."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog

from slicebank_store.catalogue.records import JobRecord, PredictionRecord
from slicebank_store.types import JSON
from slicebank_worker.jobs.attention import Attended, attention_json
from slicebank_worker.jobs.head_answers import Heads, answer_about, read_bags
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime
from slicebank_worker.stages import StageTimes

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """A head's question.

    Attributes:
        bag_ids: one, or several that are one case, that with the most slices first.
        rule: how several were joined.
    """

    project: str
    prediction_id: str
    head_id: str
    bag_ids: Sequence[str]
    rule: str | None

    @staticmethod
    def by_job(job: JobRecord) -> Asked:
        """What a job asks."""
        bag_ids = job.params.get("bag_ids") or [job.params["bag_id"]]
        return Asked(job.project, job.prediction_id or "", job.params["head_id"], bag_ids, job.params.get("rule"))


class Predictor:
    """Answers questions, those of predict jobs and those put straight to this process; keeps the heads it used last in memory."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._heads = Heads(runtime)
        self._turn = threading.Lock()  # two at once would only slow each other down

    def run(self, hold: Hold) -> bool:
        """Answers one head's question about one bag, or about several that are one case."""
        with self._turn:
            prediction = self._predict(Asked.by_job(hold.lease.job), hold)
        result = {"prediction_id": prediction.prediction_id}
        return self._runtime.catalogue.jobs.succeed(hold.lease, result, stages=hold.stages, prediction=prediction)

    def answer(self, question: JSON) -> JSON:
        """Answers a question that somebody waits for, without a job; see `Answering`.

        Returns:
            Seconds by stage, once the prediction's row is committed; empty where a job must say what is wrong.
        """
        times = StageTimes()
        try:
            with self._turn:
                prediction = self._predict(Asked(**question), times)
            with times.stage("store_s"):
                stored = self._runtime.catalogue.predictions.add(prediction)
        except Exception as error:  # noqa: BLE001 - the asker tries again by a job, which tells errors apart
            log.info("question_left_to_a_job", error=type(error).__name__)
            return {}
        return dict(times.stages) if stored else {}

    def _predict(self, asked: Asked, times: StageTimes) -> PredictionRecord:
        with times.stage("read_s"):
            head, ensemble = self._heads.load(asked.project, asked.head_id)
            bags = read_bags(self._runtime, head, asked.bag_ids)
        with times.stage("predict_s"):
            answer = answer_about(head, ensemble, bags)
        with times.stage("tell_s"):
            records = [item.record for item in bags]
            learnt = self._runtime.catalogue.heads.learnt_from(
                asked.project,
                head.head_id,
                series_uids=[record.series_uid for record in records],
                patients=[record.patient for record in records],
            )
            return PredictionRecord(
                project=asked.project,
                prediction_id=asked.prediction_id,
                head_id=head.head_id,
                bag_id=records[0].bag_id,
                series_uid=records[0].series_uid,
                study_uid=records[0].study_uid,
                outputs=[asdict(output) for output in answer.outputs],
                attention=attention_json(
                    [Attended(item.record.series_uid, item.bag, item.rows) for item in bags], answer
                ),
                created_at=time.time(),
                about={
                    "in_training": learnt,
                    "rule": asked.rule,
                    "series": [
                        {"series_uid": item.record.series_uid, "bag_id": item.record.bag_id, "n_rows": len(item.rows)}
                        for item in bags
                    ],
                },
            )
