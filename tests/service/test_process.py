"""An API process whose settings cannot be: it says a sentence, without their values, and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slicebank_store.pseudonyms import UidPolicy
from tests.service.support import make_world


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("SLICEBANK_PACS", '{"archive": {"kind": "ftp", "password": "SECRET"}}', "The PACS in the settings"),
        ("SLICEBANK_UID_POLICY", "hash", "was made with uid_policy=keep"),
    ],
)
def test_settings_that_cannot_be_end_the_process_with_a_sentence(
    tmp_path: Path, empty_catalogue: Path, setting: str, value: str, sentence: str
) -> None:
    with make_world(tmp_path / "data", empty_catalogue) as world:
        world.catalogue.projects.settle("default", uids=UidPolicy.KEEP)
        own = {"SLICEBANK_DATA_DIR": str(world.settings.data_dir), "SLICEBANK_API_KEY": "key", setting: value}
        ended = subprocess.run(
            [sys.executable, "-m", "slicebank_service", "--port", "0"],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "SECRET" not in ended.stderr + ended.stdout
