"""The tree of commands: all of them helped, wrong command lines end with 2, errors are sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from slicebank.cli.app import build_app
from slicebank.cli.entry import main
from tests.client.shell import Run


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and group as words, from the tree that typer makes."""
    group = typer.main.get_command(build_app())
    pending = [((), group)]
    while pending:
        words, item = pending.pop()
        yield words
        pending += [((*words, name), below) for name, below in getattr(item, "commands", {}).items()]


EXPECTED = {
    "serve", "upload", "predict", "demo", "doctor", "series list", "series show", "series delete", "series embed",
    "jobs list", "jobs show", "jobs wait", "jobs cancel", "jobs retry", "bags list", "bags show", "bags download",
    "bags delete", "encoders list", "encoders show", "encoders add", "heads train", "heads list", "heads show",
    "heads delete", "heads promote", "workers list",
}  # fmt: skip


def test_the_commands_are_there() -> None:
    assert {" ".join(words) for words in commands()} >= EXPECTED


@pytest.mark.parametrize("words", [words for words in commands() if words != ("encoders", "add")], ids=" ".join)
def test_every_command_has_help(shell: Callable[..., Run], words: tuple[str, ...]) -> None:
    run = shell(*words, "--help")
    assert run.status == 0
    assert "Usage:" in run.out


def test_every_option_and_argument_is_explained() -> None:
    group = typer.main.get_command(build_app())
    pending = [group]
    while pending:
        item = pending.pop()
        assert item.help, item.name
        for param in item.params:
            assert getattr(param, "help", None), f"{item.name} {param.name}"
        pending += getattr(item, "commands", {}).values()


@pytest.mark.parametrize(
    "words", [("nonsense",), ("jobs", "show"), ("jobs", "list", "--nonsense"), ("upload", "/no/such")]
)
def test_wrong_command_lines_end_with_2(shell: Callable[..., Run], words: tuple[str, ...]) -> None:
    assert shell(*words).status == 2


def test_no_server_is_a_sentence_and_a_hint(shell: Callable[..., Run], tmp_path: Path) -> None:
    run = shell("--data-dir", str(tmp_path), "jobs", "list")
    assert run.status == 1
    assert run.out == ""
    assert run.err.startswith("Error: No slicebank server is known")
    assert "slicebank serve" in run.err
    assert "Traceback" not in run.err


def test_errors_are_json_for_scripts(shell: Callable[..., Run], tmp_path: Path) -> None:
    run = shell("--data-dir", str(tmp_path), "jobs", "list", "--json")
    assert json.loads(run.out)["error"]["code"] == "server_not_found"
    assert "Error:" in run.err


def test_a_refused_connection_is_a_sentence(shell: Callable[..., Run]) -> None:
    run = shell("--url", "http://127.0.0.1:1", "--api-key", "x", "jobs", "list")
    assert run.status == 1
    assert "Nobody answers at http://127.0.0.1:1" in run.err


def test_global_options_after_the_command_win(slicebank: Callable[..., Run]) -> None:
    run = slicebank("jobs", "list", "--api-key", "wrong", "--json")
    assert run.json["error"]["code"] == "unauthorized"
    assert run.json["error"]["status"] == 401


def test_what_nobody_expected_is_a_sentence_too(shell: Callable[..., Run], tmp_path: Path) -> None:
    """A client.json that is a folder reaches `open` as something no command expects; still no traceback."""
    path = tmp_path / "labels.csv"
    path.mkdir()
    run = shell("--url", "http://x", "heads", "train", "name", str(path), "--json")
    assert run.status == 1
    assert run.json["error"]["code"] in ("bad_labels", "unexpected")
    assert "Traceback" not in run.err


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--debug", "--version"])
    assert caught.value.code in (0, None)
