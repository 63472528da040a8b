"""A service of one's own for a benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slicebank import Client


@contextmanager
def serving(data_dir: Path) -> Iterator[Client]:
    """Runs `slicebank serve` on a free port while inside."""
    command = [sys.executable, "-P", "-m", "slicebank", "serve", "--port", "0", "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        found = data_dir / "client.json"
        while not found.exists():
            if process.poll() is not None:
                raise RuntimeError("slicebank serve ended before it was ready")
            time.sleep(0.1)
        address = json.loads(found.read_text())
        with Client(address["url"], address["api_key"]) as client:
            yield client
    finally:
        process.terminate()
        process.wait(60)
