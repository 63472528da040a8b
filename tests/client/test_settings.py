"""Finding the server: arguments, environment, client.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slicebank.errors import ServerNotFound
from slicebank.settings import default_data_dir, find_connection


def leave(folder: Path, url: str = "http://127.0.0.1:8000", api_key: str = "left") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "client.json").write_text(json.dumps({"url": url, "api_key": api_key}))
    return folder


def test_arguments_win(tmp_path: Path) -> None:
    environ = {"SLICEBANK_URL": "http://env", "SLICEBANK_API_KEY": "env", "SLICEBANK_DATA_DIR": str(leave(tmp_path))}
    found = find_connection("http://given/", "key", environ=environ)
    assert (found.url, found.api_key) == ("http://given", "key")


def test_environment_before_the_file(tmp_path: Path) -> None:
    environ = {"SLICEBANK_URL": "http://env", "SLICEBANK_API_KEY": "env", "SLICEBANK_DATA_DIR": str(leave(tmp_path))}
    found = find_connection(environ=environ)
    assert (found.url, found.api_key) == ("http://env", "env")


def test_a_data_dir_that_is_passed_wins_over_the_environment(tmp_path: Path) -> None:
    environ = {"SLICEBANK_URL": "http://env", "SLICEBANK_API_KEY": "env"}
    found = find_connection(data_dir=leave(tmp_path), environ=environ)
    assert (found.url, found.api_key) == ("http://127.0.0.1:8000", "left")


def test_file_in_the_data_dir_of_the_environment(tmp_path: Path) -> None:
    found = find_connection(environ={"SLICEBANK_DATA_DIR": str(leave(tmp_path))})
    assert found.api_key == "left"
    assert str(tmp_path) in found.source


def test_the_key_of_a_file_goes_only_to_its_own_address(tmp_path: Path) -> None:
    environ = {"SLICEBANK_DATA_DIR": str(leave(tmp_path))}
    assert find_connection("http://elsewhere:8000", environ=environ).api_key is None
    assert find_connection("http://127.0.0.1:8000/", environ=environ).api_key == "left"


def test_nothing_known_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ServerNotFound) as caught:
        find_connection(data_dir=tmp_path, environ={})
    assert "slicebank serve" in caught.value.hint


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"api_key": "x"}', "{", "null"])
def test_a_damaged_file_is_an_error_and_not_a_crash(tmp_path: Path, content: str) -> None:
    (tmp_path / "client.json").write_text(content)
    with pytest.raises(ServerNotFound):
        find_connection(data_dir=tmp_path, environ={})
    assert find_connection("http://given", data_dir=tmp_path, environ={}).api_key is None


def test_an_address_without_scheme_is_http(tmp_path: Path) -> None:
    assert find_connection("localhost:8000", data_dir=tmp_path, environ={}).url == "http://localhost:8000"


def test_keys_are_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(find_connection("http://a", "secret", environ={}))


def test_default_data_dir() -> None:
    assert default_data_dir({"SLICEBANK_DATA_DIR": "/somewhere"}) == Path("/somewhere")
    assert default_data_dir({}).name == "slicebank"
