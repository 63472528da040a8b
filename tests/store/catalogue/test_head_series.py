"""What a head has learnt from, across upgrades of the catalogue too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command

from slicebank_store.catalogue import Catalogue, NewJob
from slicebank_store.catalogue.engine import Database
from slicebank_store.catalogue.schema import migration_config
from slicebank_store.identity import prediction_id
from slicebank_store.types import JobKind

from ..builders import PROJECT, claim, embed, head_of, outcome_of, prediction_of, series_of
from ..postgres import Postgres


def predict_job(head_id: str, bag_id: str) -> NewJob:
    named = {"head_id": head_id, "bag_id": bag_id}
    return NewJob(
        PROJECT, JobKind.PREDICT, **named, prediction_id=prediction_id(PROJECT, head_id, bag_id), params=named
    )


def train_on_two(catalogue: Catalogue) -> str:
    """A head that learnt from series 1.1 of patient a, and was tested on 1.2 of patient b; its id."""
    for number, patient in ((1, "a"), (2, "b")):
        embed(catalogue, series_of(series_uid=f"1.{number}", study_uid=f"9.{number}", patient=patient))
    new = replace(
        head_of(series_uids=("1.1", "1.2")),
        patients={"1.1": "a", "1.2": "b"},
        protocol={"pooling": "mean"},
        head={"width": 8},
    )
    head, job = catalogue.heads.create(new, params={}, manifest={})
    outcome = replace(outcome_of(head.head_id), report={"splits": {"test": ["b"], "folds": []}})
    assert catalogue.jobs.succeed(claim(catalogue, job.job_id), {}, head=outcome)
    return head.head_id


@pytest.mark.parametrize(
    ("series", "patients", "learnt"),
    [(["1.1"], [], True), ([], ["a"], True), (["7"], ["a"], True), (["1.2"], ["b"], False), (["7"], ["c"], False)],
)
def test_what_was_held_out_for_testing_was_not_learnt_from(
    catalogue: Catalogue, series: list[str], patients: list[str], learnt: bool
) -> None:
    head_id = train_on_two(catalogue)
    assert catalogue.heads.learnt_from(PROJECT, head_id, series_uids=series, patients=patients) is learnt


def test_a_head_that_is_in_training_has_seen_all_of_them(catalogue: Catalogue) -> None:
    head, _ = catalogue.heads.create(replace(head_of(), patients={"1.2.3": "p"}), params={}, manifest={})
    assert catalogue.heads.learnt_patients(PROJECT, head.head_id) == ({"1.2.3"}, {"p"})


def test_heads_of_the_schema_before_keep_what_they_were(postgres: Postgres, tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'c.sqlite'}", postgres.database()):
        catalogue = Catalogue.create_or_upgrade(url)
        head_id = train_on_two(catalogue)
        bag = catalogue.bags.list(PROJECT, series_uid="1.2").items[0]
        job = catalogue.jobs.create(predict_job(head_id, bag.bag_id))
        catalogue.jobs.succeed(claim(catalogue, job.job_id), {}, prediction=prediction_of(head_id, bag))
        database, config = Database(url), migration_config()
        for step, target in ((command.downgrade, "0003"), (command.upgrade, "head")):
            with database.write() as connection:
                config.attributes["connection"] = connection
                step(config, target)
        head = catalogue.heads.get(PROJECT, head_id)
        assert head is not None
        assert (head.head["architecture"], head.protocol["calibration"]) == ("abmil", "none")
        assert catalogue.heads.learnt_patients(PROJECT, head_id) == ({"1.1"}, {"a"})
        assert [(item.version, item.reason) for item in catalogue.heads.promotions(PROJECT, "nodule")] == [
            (1, "promoted")
        ]
        stored = catalogue.predictions.get(PROJECT, prediction_of(head_id, bag).prediction_id)
        assert stored is not None
        assert (stored.about, stored.bag_ids) == ({}, (bag.bag_id,))
        catalogue.close()
        database.close()
