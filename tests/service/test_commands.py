from __future__ import annotations

import socket
from pathlib import Path

import typer
from typer.testing import CliRunner

from slicebank_service.commands import serve
from slicebank_service.serving.data_dir import only_one


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(serve)
    result = CliRunner().invoke(app, arguments, env=environment)
    return result.exit_code, result.output


def test_a_folder_that_is_served_already_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with only_one(tmp_path):
        status, output = run("--data-dir", str(tmp_path))
    assert status == 1
    assert "slicebank already serves" in output


def test_a_setting_that_makes_no_sense_is_refused_with_a_sentence(tmp_path: Path) -> None:
    status, output = run("--data-dir", str(tmp_path), "--log-level", "loud")
    assert status == 2
    assert "SLICEBANK_LOG_LEVEL" in output


def test_help_says_what_it_does() -> None:
    status, output = run("--help")
    assert status == 0
    assert "--port" in output


def test_what_children_could_not_start_with_is_said_at_once(tmp_path: Path) -> None:
    status, output = run("--data-dir", str(tmp_path), SLICEBANK_PACS='{"main": {"kind": "fax"}}')
    assert status == 1
    assert "main" in output
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, output = run("--data-dir", str(tmp_path), SLICEBANK_LISTEN_PORT=str(taken.getsockname()[1]))
    assert status == 1
    assert "in use" in output
    assert not (tmp_path / "client.json").exists()
