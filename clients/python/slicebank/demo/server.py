"""A server for the length of a demo: its own data folder, a free port, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from slicebank.client import Client
from slicebank.errors import SetupError, SlicebankError
from slicebank.settings import CLIENT_FILE

# Importing PyTorch from a cold disk on two busy cores takes most of this.
START_SECONDS = 120.0
STOP_SECONDS = 40.0
POLL_SECONDS = 0.1
LOG_LINES_SHOWN = 25


class ServerDidNotStart(SetupError):
    """The server of the demo ended, or did not answer in time."""

    code = "server_did_not_start"
    default_hint = "Its log says why; `slicebank doctor` checks this machine."


class DemoServer:
    """`slicebank serve` as a child process; a context manager that ends it on every way out.

    The child runs below a guard that ends it when this process dies without a word.

    Args:
        data_dir: its data folder.
        environ: what it inherits; settings of a server of the user's own are taken out of it.
    """

    def __init__(self, data_dir: Path, environ: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.log = data_dir / "logs" / "serve.log"
        inherited = os.environ if environ is None else environ
        self._environ = {name: value for name, value in inherited.items() if not name.startswith("SLICEBANK_")}
        # `python -m` would look for modules in the user's folder first, where any random.py could lie.
        self._environ["PYTHONSAFEPATH"] = "1"
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None

    def __enter__(self) -> DemoServer:
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        reading, self._lifeline = os.pipe()
        serve = (sys.executable, "-m", "slicebank", "serve", "--port", "0", "--data-dir", str(self.data_dir))
        guard = (sys.executable, "-m", "slicebank_service.serving.guard", str(reading))
        with self.log.open("ab") as log:
            # A process group of its own keeps Ctrl-C for the demo, which then ends the server in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                (*guard, *serve),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                pass_fds=(reading,),
                process_group=0,
            )
        os.close(reading)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self) -> Client:
        """A client of the server, once it answers.

        Raises:
            ServerDidNotStart: it ended, or does not answer within two minutes.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise ServerDidNotStart(f"The server ended before it answered.\n{self.log_tail()}")
            if (self.data_dir / CLIENT_FILE).exists():
                client = Client(data_dir=self.data_dir, timeout=60.0)
                if _is_ready(client):
                    return client
                client.close()
            time.sleep(POLL_SECONDS)
        raise ServerDidNotStart(f"The server did not answer within {START_SECONDS:.0f} s.\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def stop(self) -> None:
        """End the server and everything it started; twice is no error."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def _is_ready(client: Client) -> bool:
    try:
        client.ready()
    except SlicebankError:
        return False
    return True
