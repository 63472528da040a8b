import json
from copy import deepcopy
from typing import Any

import pytest

from slicebank_models.heads.protocol import ProtocolSpec
from slicebank_models.heads.spec import TaskKind
from slicebank_store.catalogue.jobs import HeadOutcome
from tests.models.training.reported import drawn_report
from tests.service import support
from tests.service.support import Api, FakeWorker, MakeFiles, World, assert_problem
from tests.service.test_heads import table, train


@pytest.fixture
def labels(api: Api, worker: FakeWorker, make_files: MakeFiles) -> str:
    """Of four stored bags."""
    return table(support.make_bags(api, worker, make_files, 4))


def trained(api: Api, world: World, worker: FakeWorker, labels: str, name: str, report: dict[str, Any]) -> str:
    """A head whose training wrote this report."""
    accepted = train(api, labels, name=name).json()
    lease = worker.claim(accepted["job_id"])
    outcome = HeadOutcome(
        head_id=accepted["head_id"],
        blob_key=f"default/heads/{name}.safetensors",
        sha256="0" * 64,
        size_bytes=7,
        metrics={},
        report=report,
    )
    world.blobs.put_bytes(outcome.blob_key, b"weights")
    assert world.catalogue.jobs.succeed(lease, {"head_id": outcome.head_id}, head=outcome)
    return str(accepted["head_id"])


def test_two_heads_are_compared_on_the_cases_of_both(api: Api, world: World, worker: FakeWorker, labels: str) -> None:
    good = drawn_report(TaskKind.BINARY, protocol=ProtocolSpec(bootstrap=0)).report
    poor = deepcopy(good)
    for at, row in enumerate(poor["out_of_fold"]):
        row["outputs"] = row["probabilities"] = [(at * 37 % 100) / 100]
    first, second = (
        trained(api, world, worker, labels, name, report) for name, report in (("good", good), ("poor", poor))
    )
    answer = api.get("/v1/heads/good/comparison", params={"other": second})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["first"], found["second"], found["part"]) == (first, second, "pooled")
    assert (found["n_units"], found["n_patients"], found["left_out"]) == (96, 96, {"first": 0, "second": 0})
    auroc = found["metrics"]["auroc"]
    assert auroc["method"] == "delong"
    assert auroc["p_value"] < 0.001
    assert auroc["interval"][0] > 0
    assert auroc["difference"] == auroc["first"] - auroc["second"]
    assert found["labels"]["lesion"]["brier"]["method"] == "paired_bootstrap"
    same = api.get("/v1/heads/good/comparison", params={"other": "poor", "part": "test"}).json()
    assert (same["n_units"], same["metrics"]["auroc"]["p_value"]) == (24, 1.0)


def test_what_cannot_be_compared_is_said(api: Api, world: World, worker: FakeWorker, labels: str) -> None:
    report = drawn_report(TaskKind.BINARY, protocol=ProtocolSpec(bootstrap=0)).report
    trained(api, world, worker, labels, "one", report)
    classes = drawn_report(TaskKind.MULTICLASS, protocol=ProtocolSpec(bootstrap=0)).report
    trained(api, world, worker, labels, "classes", json.loads(json.dumps(classes)))
    assert_problem(api.get("/v1/heads/one/comparison", params={"other": "classes"}), 409, "nothing_to_compare")
    assert_problem(api.get("/v1/heads/one/comparison", params={"other": "nobody"}), 404, "unknown_head")
    assert_problem(api.get("/v1/heads/one/comparison"), 422, "invalid_request")
    train(api, labels, name="late")
    assert_problem(api.get("/v1/heads/one/comparison", params={"other": "late"}), 409, "head_not_ready")
