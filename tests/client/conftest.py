"""A server that speaks the contract, a client of it, and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slicebank import Client, Retries
from slicebank.cli import main
from tests.client.shell import Run
from tests.client.speaking_server import KEY, SpeakingServer, serving


@pytest.fixture(autouse=True)
def state_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the client remembers is each test's own."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("SLICEBANK_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def server() -> Iterator[SpeakingServer]:
    with serving() as running:
        yield running


@pytest.fixture
def client(server: SpeakingServer) -> Iterator[Client]:
    # What is waited for, and how long, is test_retrying's matter.
    with Client(server.url, KEY, timeout=5, retries=Retries(outage=3)) as made:
        yield made


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(*arguments: str) -> Run:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        status = caught.value.code
        return Run(0 if status is None else int(status), captured.out, captured.err)

    return run


@pytest.fixture
def slicebank(shell: Callable[..., Run], server: SpeakingServer) -> Callable[..., Run]:
    return lambda *arguments: shell("--url", server.url, "--api-key", KEY, *arguments)
