from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slicebank_service.serving.data_dir import load_api_key, only_one, write_client_file
from slicebank_service.serving.errors import AlreadyServing


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_api_key_is_made_once_for_its_owner(tmp_path: Path) -> None:
    key = load_api_key(tmp_path)
    assert len(key) >= 40
    assert load_api_key(tmp_path) == key
    assert mode(tmp_path / "api_key") == 0o600


def test_the_client_file_is_replaced_whole(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        path = write_client_file(tmp_path, url=url, api_key="k")
        assert json.loads(path.read_text()) == {"url": url, "api_key": "k"}
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_data_folder_has_one_supervisor(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    script = "import sys, pathlib; from slicebank_service.serving.data_dir import only_one\nwith only_one(pathlib.Path(sys.argv[1])): print('in')"
    with only_one(folder):
        assert mode(folder) == 0o700
        other = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
        assert AlreadyServing.__name__ in other.stderr
        assert "--data-dir" in other.stderr
    with only_one(folder):
        pass


def test_a_second_supervisor_leaves_the_first_ones_note(tmp_path: Path) -> None:
    with only_one(tmp_path):
        before = (tmp_path / "serve.lock").read_text()
        with pytest.raises(AlreadyServing, match=before), only_one(tmp_path):
            pass
        assert (tmp_path / "serve.lock").read_text() == before
