"""Servers of a cluster as plain processes: they keep their ports, can be stopped and started again, and end with whoever started them."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slicebank_service.serving.children import ending_with_parent

_GRACE_S = 30.0
# Below what Linux and macOS give to outgoing connections: one of those could take the port of a server that is being started again.
_PORTS = range(15_000, 32_000)


class ServerProcess:
    """One server. To be started from a thread that outlives it: the kernel ends it with that thread.

    Attributes:
        log: where its output goes.
    """

    def __init__(self, command: Sequence[str], log: Path, *, user: str | None = None, **environment: str) -> None:
        """Prepares a server.

        Args:
            command: program and arguments.
            log: added to at every start.
            user: whom it runs as; None is the present user.
            environment: added to the present one.
        """
        self._command = list(command)
        self._environment = environment
        self._user: dict[str, Any] = {}
        if user is not None:
            entry = pwd.getpwnam(user)
            self._user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id, while it was started and not ended."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it; whether it is of use yet, the caller finds out."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, **self._environment},
                # Ctrl-C is for whoever started the server, who then ends it in order.
                process_group=0,
                preexec_fn=ending_with_parent(signal.SIGKILL),
                **self._user,
            )

    def end(self, number: signal.Signals) -> None:
        """Sends a signal and waits for the end; after half a minute it is killed. Without effect where it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that are free now, all different, and that no outgoing connection will take meanwhile."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("this machine has no free ports")
