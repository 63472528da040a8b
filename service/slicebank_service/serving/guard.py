"""Runs a command that must not outlive its supervisor, where the kernel offers no such promise (POSIX systems other than Linux).

The supervisor holds the writing end of a pipe; its reading end reports the supervisor's death, even by SIGKILL, as end of file.
Run as `python -m slicebank_service.serving.guard FD COMMAND...`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType


def main(arguments: list[str]) -> int:
    """Runs the command and ends it with the supervisor; gives its exit status.

    Args:
        arguments: the reading end's file descriptor, then the command.
    """
    pipe = int(arguments[0])
    child = subprocess.Popen(arguments[1:], close_fds=False)  # noqa: S603 - the supervisor's own command

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)

    def watch() -> None:
        os.read(pipe, 1)  # the supervisor never writes: this returns when it is gone
        child.kill()

    threading.Thread(target=watch, daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
