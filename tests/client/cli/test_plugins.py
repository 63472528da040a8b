"""Commands of other packages: listed without being imported, run with their own options, missing ones explained."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
import typer

from slicebank.cli.app import _global_options
from slicebank.cli.plugins import GROUP, KNOWN, add_plugins

PLUGIN = """
from pathlib import Path
from typing import Annotated
import typer

def hello(name: str, data_dir: Annotated[Path | None, typer.Option()] = None) -> None:
    "Say hello."
    print(f"hello {name} {data_dir}")

def needs_more() -> None:
    "Needs a package that nobody has."
    import no_such_package_of_an_extra
"""


@pytest.fixture
def plugins(tmp_path: Path) -> str:
    name = f"plugin_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    sys.path.insert(0, str(tmp_path))
    yield name  # type: ignore[misc]
    sys.path.remove(str(tmp_path))
    sys.modules.pop(name, None)


def run(capsys: pytest.CaptureFixture[str], points: list[EntryPoint], *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer(no_args_is_help=True)
    app.callback()(_global_options)
    groups = {"encoders": typer.Typer()}
    app.add_typer(groups["encoders"], name="encoders")
    add_plugins(app, groups, points)
    with pytest.raises(SystemExit) as caught:
        app(args=list(arguments), prog_name="slicebank")
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def test_a_command_and_one_of_a_group(capsys: pytest.CaptureFixture[str], plugins: str) -> None:
    points = [EntryPoint("hello", f"{plugins}:hello", GROUP), EntryPoint("new.hello", f"{plugins}:hello", GROUP)]
    assert run(capsys, points, "hello", "you") == (0, "hello you None\n", "")
    assert run(capsys, points, "--data-dir", "/d", "new", "hello", "you")[1] == "hello you /d\n"


def test_listing_imports_nothing(capsys: pytest.CaptureFixture[str], plugins: str) -> None:
    status, out, _ = run(capsys, [EntryPoint("hello", f"{plugins}:hello", GROUP)], "--help")
    assert status == 0
    assert "hello" in out
    assert plugins not in sys.modules


def test_help_comes_from_the_plugin(capsys: pytest.CaptureFixture[str], plugins: str) -> None:
    status, out, _ = run(capsys, [EntryPoint("hello", f"{plugins}:hello", GROUP)], "hello", "--help")
    assert status == 0
    assert "Say hello." in out


def test_a_wrong_command_line_of_a_plugin_ends_with_2(capsys: pytest.CaptureFixture[str], plugins: str) -> None:
    assert run(capsys, [EntryPoint("hello", f"{plugins}:hello", GROUP)], "hello")[0] == 2


@pytest.mark.parametrize("value", ["{plugins}:needs_more", "no_such_module_at_all:hello"])
def test_a_missing_package_names_the_extra(capsys: pytest.CaptureFixture[str], plugins: str, value: str) -> None:
    points = [EntryPoint("serve", value.format(plugins=plugins), GROUP)]
    status, _, err = run(capsys, points, "serve")
    assert status == 1
    assert "pip install 'slicebank[service,worker]'" in err
    assert "no_such_" in err


@pytest.mark.parametrize("name", KNOWN)
def test_known_commands_that_are_not_installed_name_their_extra(capsys: pytest.CaptureFixture[str], name: str) -> None:
    status, out, err = run(capsys, [], "--json", *name.split("."))
    assert status == 1
    assert '"missing_extra"' in out
    assert KNOWN[name].extras in err


def test_every_command_of_this_distribution_says_what_it_does_before_it_is_imported() -> None:
    own = {entry.name for entry in entry_points(group=GROUP) if entry.value.startswith("slicebank")}
    assert own == set(KNOWN)
