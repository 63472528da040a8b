"""A head asked about a cohort, and about several bags at once."""

from __future__ import annotations

from dataclasses import replace

from slicebank_store.catalogue import BagRecord, Catalogue, NewJob, PredictionRecord
from slicebank_store.catalogue.evaluations import EvaluationOutcome, NewEvaluation
from slicebank_store.identity import prediction_id
from slicebank_store.types import JobKind, JobState, Priority

from ..builders import PROJECT, claim, embed, prediction_of, series_of, train


def question(head_id: str, *bags: BagRecord) -> NewJob:
    return NewJob(
        project=PROJECT,
        kind=JobKind.PREDICT,
        priority=Priority.BULK,
        series_uid=bags[0].series_uid,
        bag_id=bags[0].bag_id,
        head_id=head_id,
        prediction_id=prediction_id(PROJECT, head_id, *[bag.bag_id for bag in bags]),
    )


def answer(catalogue: Catalogue, job_id: str, prediction: PredictionRecord) -> bool:
    return catalogue.jobs.succeed(claim(catalogue, job_id), {}, prediction=prediction)


def three_bags(catalogue: Catalogue) -> list[BagRecord]:
    return [embed(catalogue, series_of(series_uid=f"1.{number}", study_uid="9")) for number in range(3)]


def test_a_cohort_is_asked_about_once(catalogue: Catalogue) -> None:
    head_id, bags = train(catalogue), three_bags(catalogue)
    group = catalogue.groups.create(PROJECT, key="0" * 64, cases=4)
    known = catalogue.jobs.create(question(head_id, bags[0]))
    assert answer(catalogue, known.job_id, prediction_of(head_id, bags[0]))
    wanted = [(number, question(head_id, bag)) for number, bag in enumerate(bags)]
    made = catalogue.predictions.ask_many(PROJECT, group.group_id, wanted)
    assert [job.bag_id for job in made] == [bags[1].bag_id, bags[2].bag_id], "what is known is not computed again"
    catalogue.groups.refuse(PROJECT, group.group_id, 3, "unknown_series", "There is no such series.")
    assert answer(catalogue, made[0].job_id, prediction_of(head_id, bags[1]))
    progress = catalogue.groups.progress(PROJECT, group.group_id)
    assert (progress.cases_done, progress.jobs[JobState.SUCCEEDED]) == (3, 2)
    answers = catalogue.predictions.of_group(PROJECT, group.group_id)
    assert [(item.case, item.state, item.code) for item in answers] == [
        (0, JobState.SUCCEEDED, None),
        (1, JobState.SUCCEEDED, None),
        (2, JobState.QUEUED, None),
        (3, JobState.FAILED, "unknown_series"),
    ]
    assert [len(item.outputs) for item in answers] == [1, 1, 0, 0]
    assert catalogue.predictions.ask_many(PROJECT, group.group_id, wanted) == []


def test_an_answer_about_several_bags_goes_with_any_of_them(catalogue: Catalogue) -> None:
    head_id, bags = train(catalogue), three_bags(catalogue)
    job = catalogue.jobs.create(question(head_id, *bags[:2]))
    about = {"series": [{"series_uid": bag.series_uid, "bag_id": bag.bag_id} for bag in bags[:2]]}
    prediction = replace(prediction_of(head_id, bags[0]), prediction_id=job.prediction_id or "", about=about)
    assert answer(catalogue, job.job_id, prediction)
    stored = catalogue.predictions.get(PROJECT, prediction.prediction_id)
    assert stored is not None
    assert stored.bag_ids == (bags[0].bag_id, bags[1].bag_id)
    catalogue.deletions.delete_bag(PROJECT, bags[2].bag_id)
    assert catalogue.predictions.get(PROJECT, prediction.prediction_id) is not None
    catalogue.deletions.delete_bag(PROJECT, bags[1].bag_id)
    assert catalogue.predictions.get(PROJECT, prediction.prediction_id) is None


def test_an_answer_about_a_bag_that_was_deleted_meanwhile_is_not_kept(catalogue: Catalogue) -> None:
    head_id, bags = train(catalogue), three_bags(catalogue)
    job = catalogue.jobs.create(question(head_id, *bags))
    lease = claim(catalogue, job.job_id)
    about = {"series": [{"series_uid": bag.series_uid, "bag_id": bag.bag_id} for bag in bags]}
    prediction = replace(prediction_of(head_id, bags[0]), prediction_id=job.prediction_id or "", about=about)
    catalogue.deletions.delete_bag(PROJECT, bags[1].bag_id)
    assert not catalogue.jobs.succeed(lease, {}, prediction=prediction)
    assert catalogue.predictions.get(PROJECT, prediction.prediction_id) is None


def test_the_order_of_bags_makes_no_other_prediction() -> None:
    assert prediction_id("p", "h", "a", "b") == prediction_id("p", "h", "b", "a") != prediction_id("p", "h", "a")


def test_evaluations_are_kept_with_their_head(catalogue: Catalogue) -> None:
    head_id = train(catalogue)
    new = NewEvaluation(PROJECT, head_id, "other hospital", 12, {"left_out": 1, "patients": 1})
    made, job = catalogue.evaluations.create(new, params={"cases": []})
    assert (job.kind, job.kind.queue, made.result) == (JobKind.EVALUATE, "train", None)
    lease = claim(catalogue, job.job_id)
    assert catalogue.jobs.succeed(lease, {}, evaluation=EvaluationOutcome(made.evaluation_id, {"metrics": {}}))
    (found,) = catalogue.evaluations.list(PROJECT, head_id).items
    assert (found.name, found.result, found.finished_at) == ("other hospital", {"metrics": {}}, found.created_at)
    head = catalogue.heads.get(PROJECT, head_id)
    assert head is not None
    assert head.state.value == "ready", "the end of an evaluation is not the end of a training"
    _, second = catalogue.evaluations.create(replace(new, evaluation_id="e" * 32), params={})
    catalogue.jobs.request_cancel(PROJECT, second.job_id)
    assert catalogue.jobs.retry(PROJECT, second.job_id).state is JobState.QUEUED
    lease = claim(catalogue, second.job_id)
    catalogue.deletions.delete_head(PROJECT, head_id)
    assert not catalogue.jobs.succeed(lease, {}, evaluation=EvaluationOutcome("e" * 32, {}))
    assert catalogue.evaluations.get(PROJECT, made.evaluation_id) is None
