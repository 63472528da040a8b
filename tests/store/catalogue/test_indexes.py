"""Every list, filter and lookup walks an index, on both databases: the statements that the catalogue sends are explained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from benchmarks.catalogue_rows import bag_id, fill, job_id, patient, recipe_digest, series_uid, study_uid
from slicebank_store.catalogue import Catalogue
from slicebank_store.catalogue.paging import encode_cursor
from slicebank_store.catalogue.tables import group_jobs, groups, heads, known_uploads, metadata
from slicebank_store.types import HeadState, JobKind, JobState

from ..builders import PROJECT, Clock, request_of, series_of, stack_of
from ..postgres import Postgres

SERIES = 2_000
GROUP = f"{5:032x}"
CURSOR = encode_cursor(1_700_000_500.0, "5")
# Where an index could serve, the planner takes it even for a table this small; where none could, it still has to scan and sort.
RELUCTANT = "?options=-c%20enable_seqscan%3Doff%20-c%20enable_sort%3Doff%20-c%20enable_bitmapscan%3Doff"

_TABLE_SCANS = tuple(f"SCAN {table}" for table in metadata.tables)

Ask = Callable[[Catalogue], Any]

LISTS: dict[str, tuple[Ask, str]] = {
    "series": (lambda c: c.series.list(PROJECT, cursor=CURSOR), "ix_series_page"),
    "series of a study": (lambda c: c.series.list(PROJECT, study_uid=study_uid(5), cursor=CURSOR), "ix_series_study"),
    "series of a patient": (lambda c: c.series.list(PROJECT, patient=patient(5), cursor=CURSOR), "ix_series_patient"),
    "series of a body part": (lambda c: c.series.list(PROJECT, body_part="HEAD", cursor=CURSOR), "ix_series_body_part"),
    "bags": (lambda c: c.bags.list(PROJECT, cursor=CURSOR), "ix_bags_page"),
    "bags of a series": (lambda c: c.bags.list(PROJECT, series_uid=series_uid(5), cursor=CURSOR), "ix_bags_series"),
    "bags of a study": (lambda c: c.bags.list(PROJECT, study_uid=study_uid(5), cursor=CURSOR), "ix_bags_study"),
    "bags of a patient": (lambda c: c.bags.list(PROJECT, patient=patient(5), cursor=CURSOR), "ix_bags_patient"),
    "bags of an encoder": (lambda c: c.bags.list(PROJECT, encoder="mambaout_tiny", cursor=CURSOR), "ix_bags_encoder"),
    "bags of a recipe": (
        lambda c: c.bags.list(PROJECT, recipe_digest=recipe_digest(5, 1), cursor=CURSOR),
        "ix_bags_recipe",
    ),
    "jobs": (lambda c: c.jobs.list(PROJECT, cursor=CURSOR), "ix_jobs_page"),
    "jobs in a state": (lambda c: c.jobs.list(PROJECT, state=JobState.FAILED, cursor=CURSOR), "ix_jobs_state"),
    "jobs of a kind": (lambda c: c.jobs.list(PROJECT, kind=JobKind.TRAIN, cursor=CURSOR), "ix_jobs_kind"),
    "jobs of a kind in a state": (
        lambda c: c.jobs.list(PROJECT, kind=JobKind.TRAIN, state=JobState.FAILED, cursor=CURSOR),
        "ix_jobs_kind_state",
    ),
    "jobs of a series": (lambda c: c.jobs.list(PROJECT, series_uid=series_uid(10), cursor=CURSOR), "ix_jobs_series"),
    "groups": (lambda c: c.groups.list(PROJECT, cursor=CURSOR), "ix_groups_page"),
    "heads": (lambda c: c.heads.list(PROJECT, cursor=CURSOR), "ix_heads_page"),
    "heads of a name": (lambda c: c.heads.list(PROJECT, name="n1", cursor=CURSOR), "ix_heads_name"),
    "heads of an encoder": (lambda c: c.heads.list(PROJECT, encoder="e1", cursor=CURSOR), "ix_heads_encoder"),
    "heads in a state": (lambda c: c.heads.list(PROJECT, state=HeadState.READY, cursor=CURSOR), "ix_heads_state"),
    "promoted heads": (lambda c: c.heads.list(PROJECT, promoted=True, cursor=CURSOR), "ix_heads_is_promoted"),
}
# What they find is few, and may be sorted.
LOOKUPS: dict[str, Ask] = {
    "series": lambda c: c.series.get(PROJECT, series_uid(5)),
    "current revisions": lambda c: c.series.current_revisions(PROJECT, [series_uid(n) for n in range(100)]),
    "revisions": lambda c: c.series.revisions(PROJECT, series_uid(5)),
    "bag": lambda c: c.bags.get(PROJECT, bag_id(5, 0)),
    "bags that stand for series": lambda c: c.bags.current(PROJECT, series_uids=[series_uid(n) for n in range(9)]),
    "bags that stand for studies": lambda c: c.bags.current(PROJECT, study_uids=[study_uid(5)]),
    "bags that stand for patients": lambda c: c.bags.current(PROJECT, patients=[patient(5)]),
    "job": lambda c: c.jobs.get(PROJECT, job_id(10)),
    "job of a bag": lambda c: (c.jobs.latest_for_bag(PROJECT, "b"), c.jobs.active_for_bag(PROJECT, "b")),
    "job of a prediction": lambda c: c.jobs.latest_for_prediction(PROJECT, "p"),
    "job of an upload": lambda c: c.jobs.staging_needed(PROJECT, "u"),
    "claim": lambda c: c.jobs.claim(job_id(140), worker="w", lease_s=1),
    "claim the next": lambda c: c.jobs.claim_next("embed", worker="w", lease_s=1),
    "sweep": lambda c: c.jobs.sweep(1e10, redispatch_after_s=1),
    "next import": lambda c: (c.jobs.next_import(0.0), c.jobs.next_import(1e10)),
    "cancel": lambda c: c.jobs.request_cancel(PROJECT, job_id(570)),
    "group": lambda c: (c.groups.get(PROJECT, GROUP), c.groups.create(PROJECT, key="0" * 64, cases=1)),
    "progress of a group": lambda c: c.groups.progress(PROJECT, GROUP),
    "failures of a group": lambda c: c.groups.failures(PROJECT, GROUP),
    "join a group": lambda c: c.groups.join(PROJECT, GROUP, 7, [job_id(70), job_id(80)]),
    "refuse a case": lambda c: c.groups.refuse(PROJECT, GROUP, 8, "nothing_usable", "Nothing."),
    "retry a group": lambda c: c.groups.retry(PROJECT, GROUP, staged=lambda _: False),
    "cancel a group": lambda c: c.groups.cancel(PROJECT, GROUP),
    "known uploads": lambda c: c.known_uploads.stored(PROJECT, [f"{n:064x}" for n in range(9)], recipe_digest(1, 0)),
    "known pixels": lambda c: c.known_uploads.stored(PROJECT, [f"{n:064x}" for n in range(9)], None),
    "head": lambda c: (c.heads.resolve(PROJECT, "n2"), c.heads.versions(PROJECT, "n2")),
    "history of a head": lambda c: c.heads.promotions(PROJECT, "n2"),
    "what a head learnt from": lambda c: (
        c.heads.learnt_from(PROJECT, f"{3:032x}", series_uids=["1.2"], patients=["p"]),
        c.heads.learnt_patients(PROJECT, f"{3:032x}"),
    ),
    "heads of new bags": lambda c: c.on_embedded.get(PROJECT),
    "evaluations": lambda c: (c.evaluations.list(PROJECT, "h", cursor=CURSOR), c.evaluations.get(PROJECT, "e")),
    "predictions of a group": lambda c: c.predictions.of_group(PROJECT, GROUP),
    "upload": lambda c: c.submissions.submit_series(series_of(stack_of(range(9))), request_of()),
    "upload of a part": lambda c: c.submissions.submit_series(series_of(stack_of(range(3))), request_of()),
    "blobs to delete": lambda c: (c.doomed.page(PROJECT, after=(PROJECT, "k")), c.doomed.page(after=(PROJECT, "k"))),
    "delete a series": lambda c: c.deletions.delete_series(PROJECT, series_uid(0)),
    "delete a bag": lambda c: c.deletions.delete_bag(PROJECT, bag_id(3, 0)),
    "delete a head": lambda c: c.deletions.delete_head(PROJECT, f"{7:032x}"),
}


def head_row(number: int) -> dict[str, Any]:
    return {
        "project": PROJECT,
        "head_id": f"{number:032x}",
        "name": f"n{number // 8}",
        "version": number % 8,
        "state": HeadState.READY.value if number % 4 else HeadState.FAILED.value,
        "promoted": number % 8 == 7,
        "encoder": f"e{number % 9}",
        "level": "slice",
        "dim": 8,
        "recipe": {},
        "recipe_digest": "",
        "task": {},
        "training": {},
        "job_id": "",
        "n_cases": 0,
        "training_data_deleted": False,
        "created_at": float(number),
    }


def group_row(number: int) -> dict[str, Any]:
    key = f"{number:064x}"
    return {"project": PROJECT, "group_id": key[32:], "key": key, "cases": 9, "created_at": float(number)}


def known_row(number: int) -> dict[str, Any]:
    return {
        "project": PROJECT,
        "digest": f"{number:064x}",
        "series_uid": series_uid(number),
        "revision": 1,
        "stack": 0,
    }


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    if request.param == "sqlite":
        url, how = f"sqlite:///{tmp_path_factory.mktemp('indexes') / 'c.sqlite'}", ""
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url, how = server.database(), RELUCTANT
    Catalogue.create_or_upgrade(url).close()
    fill(url, 0, SERIES)
    catalogue = Catalogue.open(url + how, clock=Clock())
    with catalogue._database.write() as connection:
        connection.execute(insert(heads), [head_row(number) for number in range(400)])
        connection.execute(insert(groups), [group_row(number) for number in range(400)])
        for group in range(4, 7):
            mine = {"project": PROJECT, "group_id": f"{group:032x}"}
            rows = [{**mine, "case_number": n, "job_id": job_id(10 * n)} for n in range(SERIES // 10)]
            connection.execute(insert(group_jobs), rows)
        rows = [known_row(number) for number in range(SERIES)]
        connection.execute(insert(known_uploads), rows)
        if request.param == "postgres":
            for table in ("heads", "groups", "group_jobs", "known_uploads"):
                connection.exec_driver_sql(f"ANALYZE {table}")
    yield catalogue
    catalogue.close()


def plans_of(catalogue: Catalogue, ask: Ask) -> list[list[str]]:
    """How the database carries out each statement of a question, but inserts: one line a step."""
    engine = catalogue._database._engine
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        ask(catalogue)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert sent
    return [_explained(catalogue, statement, parameters) for statement, parameters in sent]


def _explained(catalogue: Catalogue, statement: str, parameters: Any) -> list[str]:
    with catalogue._database.write() as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return [str(row[3]) for row in rows]
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
        steps: list[str] = []
        rest = [found[0]["Plan"]]
        while rest:
            node = rest.pop()
            rest += node.get("Plans", ())
            kind = node["Node Type"]
            # The index of unfinished jobs is short, and sweeps read it whole.
            if kind.startswith("Index") and "Index Cond" not in node and node["Index Name"] != "uq_jobs_active_subject":
                kind = "Seq Scan"
            steps.append(f"{kind} {node.get('Index Name', '')} {node.get('Relation Name', '')}".strip())
        return steps


def scans(plan: list[str]) -> list[str]:
    """Steps that read a whole table or index; SQLite scans the results of subqueries too, under other names."""
    return [step for step in plan if step.startswith("Seq Scan") or step.startswith(_TABLE_SCANS)]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_walks_its_index(filled: Catalogue, name: str) -> None:
    ask, index = LISTS[name]
    for plan in plans_of(filled, ask):
        assert any(index in step.split() for step in plan), plan
        assert not scans(plan), plan
        assert not [step for step in plan if "Sort" in step or "TEMP B-TREE" in step], plan
        sqlite = [step for step in plan if step.startswith("SEARCH")]
        assert all("<(?,?)" in step for step in sqlite), "the cursor is part of the search"


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lookup_reads_no_whole_table(filled: Catalogue, name: str) -> None:
    plans = plans_of(filled, LOOKUPS[name])
    assert not [step for plan in plans for step in scans(plan)], json.dumps(plans, indent=1)


def test_what_is_found_here_would_be_found(filled: Catalogue) -> None:
    plans = plans_of(filled, lambda c: c.jobs._first(text("error_code = 'x'")))
    assert scans(plans[0]), plans
