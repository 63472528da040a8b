"""Child processes that live no longer than their supervisor, and come back when they die."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Waits before a restart, seconds: a crash of the moment is over at once, a lasting one must not burn the machine.
BACK_OFF = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# A child that lived this long, seconds, had started well; its next death counts as the first.
SETTLED_SECONDS = 30.0
# At so many deaths in a row the supervisor tells where to look.
TELL_AFTER = 3
# A log larger than this is set aside when its child starts again; one older log is kept.
_LOG_BYTES = 32 * 1024 * 1024

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to run one child.

    Attributes:
        name: what it is called in messages; its log is `<name>.log`.
        command: program and arguments.
        end_with: signal the kernel sends it when the supervisor dies.
        pass_fds: file descriptors it inherits.
        ends_last: whether the others need it until their own end.
    """

    name: str
    command: tuple[str, ...]
    end_with: signal.Signals = signal.SIGKILL
    pass_fds: tuple[int, ...] = ()
    ends_last: bool = False


@dataclass(slots=True)
class Child:
    """One child and the history of its deaths."""

    spec: ChildSpec
    log: Path
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0
    restart_at: float | None = None


@dataclass(slots=True)
class Children:
    """Starts children, restarts those that die, and ends them all. To be used from the main thread alone.

    The kernel's promise to end a child with its parent is bound to the thread that made the child.

    Attributes:
        log_dir: where each child's output goes.
        environment: what every child sees of the environment.
        tell: takes sentences for the user.
        back_off: waits before the first, second, ... restart in a row, seconds.
        lifeline: reading end of a pipe whose writing end this process alone holds; None where the kernel ends orphans.
    """

    log_dir: Path
    environment: Mapping[str, str]
    tell: Callable[[str], None]
    lifeline: int | None = None
    back_off: tuple[float, ...] = BACK_OFF
    _children: list[Child] = field(default_factory=list)

    def start(self, spec: ChildSpec) -> Child:
        """Starts a child and keeps it running from now on."""
        log = self.log_dir / f"{spec.name}.log"
        child = Child(spec, log, self._spawn(spec, log), time.monotonic())
        self._children.append(child)
        return child

    def tend(self) -> None:
        """Looks after every child once: notes deaths, restarts those whose time has come."""
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None:
                if now >= child.restart_at:
                    child.process = self._spawn(child.spec, child.log)
                    child.started, child.restart_at = now, None
                continue
            status = child.process.poll()
            if status is None:
                continue
            child.deaths = 1 if now - child.started >= SETTLED_SECONDS else child.deaths + 1
            child.restart_at = now + self.back_off[min(child.deaths, len(self.back_off)) - 1]
            if child.deaths % TELL_AFTER == 0:
                self.tell(
                    f"{child.spec.name} has died {child.deaths} times in a row ({_how(status)}); its log is {child.log}. It is started again."
                )

    def stop(self, grace_s: float) -> None:
        """Ends every child: asks, waits `grace_s` seconds in all, then kills; those that the others need go last."""
        deadline = time.monotonic() + grace_s
        for last in (False, True):
            ending = [
                child for child in self._children if child.spec.ends_last is last and child.process.poll() is None
            ]
            for child in ending:
                child.process.terminate()
            for child in ending:
                try:
                    child.process.wait(max(1.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    os.killpg(child.process.pid, signal.SIGKILL)
                    child.process.wait()
        self._children.clear()

    def _spawn(self, spec: ChildSpec, log: Path) -> subprocess.Popen[bytes]:
        self.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        command: Sequence[str] = spec.command
        pass_fds = spec.pass_fds
        options: dict[str, Any] = {}
        if self.lifeline is not None:
            command = (sys.executable, "-m", "slicebank_service.serving.guard", str(self.lifeline), *spec.command)
            pass_fds = (*pass_fds, self.lifeline)
        else:
            options["preexec_fn"] = ending_with_parent(spec.end_with)
        with log.open("ab") as output:
            # A process group of its own keeps Ctrl-C for the supervisor, which then ends its children in order;
            # the session stays the supervisor's.
            return subprocess.Popen(  # noqa: S603 - our own command line
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                pass_fds=pass_fds,
                process_group=0,
                **options,
            )


def open_lifeline() -> int | None:
    """A pipe whose end of file reports this process's death; None on Linux, where the kernel ends orphans itself."""
    if sys.platform == "linux":
        return None
    reading, _writing = os.pipe()  # the writing end stays open, unused, until this process is gone
    return reading


def ending_with_parent(number: signal.Signals) -> Callable[[], None]:
    """What a child runs between fork and exec, so that the kernel ends it with the thread that made it (Linux).

    Args:
        number: signal that it gets.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def between_fork_and_exec() -> None:
        if prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(1)  # the parent died before the kernel knew that this child goes with it

    return between_fork_and_exec


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
