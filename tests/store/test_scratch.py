from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from slicebank_store.scratch import open_scratch

CHILD = """
import sys, tempfile, time
from pathlib import Path
from slicebank_store.scratch import open_scratch
with open_scratch(Path(sys.argv[1]), "child") as folder:
    (folder / "half.bag").write_bytes(b"rows of a patient")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_the_folder_is_private_and_goes_with_the_process(tmp_path: Path) -> None:
    root = tmp_path / "scratch"
    before = tempfile.gettempdir()
    with open_scratch(root, "embed") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "part").write_bytes(b"x")
        with tempfile.TemporaryDirectory() as other:
            assert Path(other).parent == folder
    assert tempfile.gettempdir() == before
    assert [path.name for path in root.iterdir()] == [".lock"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_needs_stays(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        folders = []
        for child in children:
            assert child.stdout is not None
            folders.append(Path(child.stdout.readline().strip()))
        children[0].send_signal(signal.SIGKILL)
        children[0].wait(30)
        assert folders[0].exists()
        with open_scratch(tmp_path, "embed"):
            assert not folders[0].exists()
            assert (folders[1] / "half.bag").exists()
    finally:
        for child in children:
            child.kill()
            child.communicate()
