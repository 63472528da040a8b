from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slicebank_service.serving.children import Children, ChildSpec

FOREVER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1000)")
# Deaf to SIGTERM.
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)",
)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def children(tmp_path: Path, told: list[str]) -> Iterator[Children]:
    made = Children(tmp_path / "logs", os.environ, told.append, back_off=(0.01,))
    yield made
    made.stop(0.0)


def test_a_child_that_dies_comes_back(children: Children, told: list[str]) -> None:
    child = children.start(ChildSpec("steady", FOREVER))
    first = child.process.pid
    assert os.getsid(first) == os.getsid(0), "children stay in the supervisor's session"
    os.kill(first, signal.SIGKILL)

    def back() -> bool:
        children.tend()
        return child.process.pid != first and child.process.poll() is None

    until(back, "restarted")
    assert told == []


def test_a_child_that_keeps_dying_is_told_of_with_its_log(children: Children, told: list[str]) -> None:
    child = children.start(ChildSpec("broken", (sys.executable, "-c", "import sys; print('why'); sys.exit(3)")))

    def often() -> bool:
        children.tend()
        return child.deaths >= 3

    until(often, "died three times")
    assert len(told) == 1
    assert "broken has died 3 times in a row (exit status 3)" in told[0]
    assert str(child.log) in told[0]
    assert child.log.read_text().count("why") == 3


def test_stopping_asks_first_and_then_insists(children: Children) -> None:
    kind, deaf, last = (
        children.start(ChildSpec(name, command, ends_last=name == "last"))
        for name, command in (("kind", FOREVER), ("deaf", STUBBORN), ("last", FOREVER))
    )
    until(lambda: all(child.log.read_text() == "up\n" for child in (kind, deaf, last)), "up")
    children.stop(0.1)
    assert [child.process.returncode for child in (kind, deaf, last)] == [
        -signal.SIGTERM,
        -signal.SIGKILL,
        -signal.SIGTERM,
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux alone; elsewhere the guard does")
@pytest.mark.parametrize("lifeline", ["None", "os.pipe()[0]"])
def test_children_die_with_a_killed_supervisor(tmp_path: Path, lifeline: str) -> None:
    script = f"""
import os, sys, time, pathlib
from slicebank_service.serving.children import Children, ChildSpec
children = Children(pathlib.Path({str(tmp_path)!r}), os.environ, print, lifeline={lifeline})
children.start(ChildSpec("orphan", {(sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(1000)")!r}))
time.sleep(1000)
"""
    log = tmp_path / "orphan.log"
    with subprocess.Popen([sys.executable, "-c", script]) as supervisor:
        until(lambda: log.exists() and log.read_text().endswith("\n"), "child is up")
        supervisor.kill()
    pid = int(log.read_text())
    until(lambda: gone(pid), "child is gone")


def test_the_guard_gives_its_commands_exit_status() -> None:
    reading, writing = os.pipe()
    command = [
        sys.executable,
        "-m",
        "slicebank_service.serving.guard",
        str(reading),
        sys.executable,
        "-c",
        "raise SystemExit(7)",
    ]
    try:
        assert subprocess.run(command, pass_fds=(reading,), check=False).returncode == 7
    finally:
        os.close(reading)
        os.close(writing)
