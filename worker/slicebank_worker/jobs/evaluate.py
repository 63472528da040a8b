"""Measuring a head on a labelled cohort that it has not learnt from."""

from __future__ import annotations

from functools import partial

from slicebank_models.errors import ModelsError, TrainingCancelled
from slicebank_models.heads.targets import Case
from slicebank_models.training.evaluation import evaluate
from slicebank_store.catalogue.evaluations import EvaluationOutcome
from slicebank_worker.errors import JobCancelled, TrainingFailed
from slicebank_worker.jobs.head_answers import Heads
from slicebank_worker.jobs.patience import patiently
from slicebank_worker.jobs.train import StoredBags, bags_of_cases
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime


class Evaluator:
    """Runs evaluate jobs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._heads = Heads(runtime)

    def run(self, hold: Hold) -> bool:
        """Asks a head about every case, and compares the answers with the labels."""
        job = hold.lease.job
        params, catalogue = job.params, self._runtime.catalogue
        head, ensemble = self._heads.load(job.project, params["head_id"])
        records = bags_of_cases(catalogue, job.project, params["cases"])
        cases = [
            Case(index, case["patient"], tuple(case["target"]), case["unit"], case["site"])
            for index, case in enumerate(params["cases"])
        ]

        def progress(done: int, total: int) -> bool:
            hold.progress(done, total, "cases")
            return hold.interrupted

        try:
            result = evaluate(
                ensemble,
                StoredBags(self._runtime, records, head.training.get("windows"), hold),
                cases,
                trained_patients=catalogue.heads.learnt_patients(job.project, head.head_id)[1],
                resamples=params["bootstrap"],
                progress=progress,
            )
        except TrainingCancelled as cancelled:
            hold.check()
            raise JobCancelled(job.job_id) from cancelled
        except ModelsError as error:
            raise TrainingFailed(str(error), error.code) from error
        outcome = EvaluationOutcome(params["evaluation_id"], {**result, "calibrated": ensemble.calibration is not None})
        made = {"evaluation_id": outcome.evaluation_id}
        succeed = partial(catalogue.jobs.succeed, hold.lease, made, evaluation=outcome)
        return patiently(hold, partial(succeed, stages=hold.stages))
