"""Runs the confined process on many files, a fork each: `python -m tests.store.bags.foreign.forks FOLDER...`, hundreds in seconds.

Each folder holds `file`; what `python -m slicebank_store.bags.foreign.process` would write lies there afterwards, with its status.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from slicebank_store.bags.foreign.limits import ForeignLimits
from slicebank_store.bags.foreign.process import main
from slicebank_store.bags.foreign.reading import TOLD, VALUES


def run(folder: Path) -> None:
    child = os.fork()
    if child == 0:
        for name, descriptor in ((VALUES, 1), (TOLD, 2)):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
        os._exit(main(folder / "file", ForeignLimits(cpu_s=1)))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (folder / "status").write_text(str(status))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        run(Path(argument))
