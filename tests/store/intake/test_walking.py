from __future__ import annotations

import shutil
from pathlib import Path

from slicebank_store.intake.walking import statuses_below


def test_everything_below_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"12345")
    assert sorted(status.st_size for status in statuses_below(tmp_path) if status.st_size == 5) == [5]
    assert len(list(statuses_below(tmp_path))) == 3


def test_what_goes_while_we_look_is_no_error(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "file").write_bytes(b"x")
    seen = statuses_below(tmp_path)
    next(seen)
    shutil.rmtree(tmp_path / "folder")
    assert list(seen) == []
    assert list(statuses_below(tmp_path / "gone")) == []
