"""What Prometheus is told of a worker, and that pages and log lines agree with it."""

from __future__ import annotations

import json
import logging
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from slicebank_service.dicom_network.metrics import ListenerMetrics
from slicebank_store.catalogue.jobs import Beat
from slicebank_store.logs import configure_logging
from slicebank_worker.leases import Hold
from slicebank_worker.metrics import Outcome, metrics_served
from slicebank_worker.runtime import Role
from tests.worker.conftest import Workshop
from tests.worker.test_jobs import phantom

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def test_work_is_counted(workshop: Workshop, tmp_path: Path) -> None:
    job_id = workshop.upload(phantom(tmp_path, n_slices=4))["job_id"]
    registry = workshop.runtime.metrics
    assert value(registry, "slicebank_worker_rows_total") == 0
    workshop.run(job_id)
    assert value(registry, "slicebank_worker_slices_total") == 4
    assert value(registry, "slicebank_worker_rows_total") == 4, "this encoder reads one window"
    assert value(registry, "slicebank_worker_batches_total") >= 1
    assert value(registry, "slicebank_worker_device_busy_seconds_total") > 0
    assert value(registry, "slicebank_worker_decode_seconds_total") > 0
    assert value(registry, "slicebank_worker_batch_rows", encoder="hu_statistics") > 0
    assert value(registry, "slicebank_worker_jobs_in_hand") == 0
    assert value(registry, "slicebank_worker_jobs_total", kind="embed", outcome="succeeded", code="") == 1
    assert value(registry, "slicebank_worker_stage_seconds_total", kind="embed", stage="write") > 0


def test_ends_are_told_apart(workshop: Workshop, tmp_path: Path) -> None:
    def lose(hold: Hold) -> bool:
        hold.beat = Beat.LOST
        hold.check()
        return True

    def cancel(hold: Hold) -> bool:
        workshop.world.catalogue.jobs.request_cancel("default", hold.lease.job.job_id)
        hold.report()
        return True

    def fill(_: Hold) -> bool:
        raise OSError(28, "No space left on device")

    def crash(_: Hold) -> bool:
        raise RuntimeError("nobody foresaw this")

    def stop(hold: Hold) -> bool:
        workshop.runtime.leases.stopping.set()
        hold.check()
        return True

    ends = [
        (lose, Outcome.LOST, ""),
        (cancel, Outcome.CANCELLED, ""),
        (fill, Outcome.POSTPONED, "disk_full"),
        (crash, Outcome.ATTEMPT_FAILED, "internal_error"),
        (stop, Outcome.HANDED_BACK, ""),
    ]
    for seed, (end, outcome, code) in enumerate(ends):
        workshop.runners[Role.EMBED] = end
        workshop.run(workshop.upload(phantom(tmp_path, seed, n_slices=4))["job_id"])
        labels = {"kind": "embed", "outcome": outcome.value, "code": code}
        assert value(workshop.runtime.metrics, "slicebank_worker_jobs_total", **labels) >= 1, outcome


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_prometheus_is_answered_on_the_port_and_nowhere_by_default() -> None:
    registry = CollectorRegistry()
    with metrics_served(registry, "127.0.0.1", 0) as port:
        assert port is None
    wanted = free_port()
    with metrics_served(registry, "127.0.0.1", wanted) as port:
        assert port == wanted
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            assert response.status == 200
    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", wanted)) != 0


def test_a_port_that_is_taken_is_said_and_harms_nothing() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        structlog.testing.capture_logs() as lines,
        metrics_served(CollectorRegistry(), "127.0.0.1", taken.getsockname()[1]) as port,
    ):
        assert port is None
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("metrics_not_served", "warning")
    assert "SLICEBANK_METRICS_PORT" in line["detail"]


def test_the_page_lists_every_metric_and_no_other(workshop: Workshop) -> None:
    told: dict[str, str] = {}
    listener = CollectorRegistry()
    ListenerMetrics(listener)
    for registry in (workshop.runtime.metrics, workshop.api.app.state.context.metrics.registry, listener):
        for family in registry.collect():
            if family.name.startswith("slicebank_"):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                told[name] = family.type
    rows = re.findall(r"^\| `(slicebank_\w+)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == told
    assert len(rows) == len(told)


@contextmanager
def json_logs() -> Iterator[None]:
    """Logs as processes write them, and as tests write them again afterwards."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    configure_logging("info")
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**before)


def test_one_id_is_in_the_log_lines_of_api_and_worker(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with json_logs():
        files = [("files", (name, content)) for name, content in phantom(tmp_path, n_slices=4).items()]
        headers = {"X-Request-ID": "from-the-ward.1"}
        answer = workshop.api.post(
            "/v1/series", files=files, params={"encoder": "hu_statistics"}, headers=headers
        ).json()
        job_id = answer["series"][0]["job_id"]
        workshop.run(job_id)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    mine = {line["event"]: line for line in lines if line.get("request_id") == "from-the-ward.1"}
    assert {"upload_received", "request", "job_done"} <= set(mine)
    assert mine["job_done"]["job_id"] == job_id
    assert mine["request"]["route"] == "/v1/series"
