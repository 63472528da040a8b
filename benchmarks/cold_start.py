"""How long the processes of a service take from their start to their first use."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.processes import environment_of, has_logged, wait_until, worker_pid


def measure_cold_start(data_dir: Path, rounds: int) -> dict[str, float]:
    """Starts each kind of process in turn, beside a service that idles and whose broker and catalogue they use.

    Args:
        data_dir: of a running service.
        rounds: times each is started; medians are given.

    Returns:
        rounds: as given.
        imports_s: `import torch, timm` in a fresh interpreter, start and end included.
        worker_s: an embed worker, until Celery is ready for messages and the default encoder's weights are loaded.
        beyond_imports_s: the difference of the two.
        api_s: an API process, until the first 200 of /ready.
    """
    environment = environment_of(worker_pid(data_dir, "embed"))
    imports, workers, apis = [], [], []
    for _ in range(rounds):
        imports.append(_imports_s(environment))
        workers.append(_worker_s(environment))
        apis.append(_api_s(environment))
    medians = [statistics.median(values) for values in (imports, workers, apis)]
    return {
        "rounds": rounds,
        "imports_s": medians[0],
        "worker_s": medians[1],
        "beyond_imports_s": medians[1] - medians[0],
        "api_s": medians[2],
    }


def _imports_s(environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, timm"], env=environment, check=True)
    return time.perf_counter() - started


def _worker_s(environment: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "embed.log"
        with log.open("wb") as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "slicebank_worker", "embed"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(
                lambda: process.poll() is not None or has_logged(log, "worker_ready", "encoder_loaded"), "the worker"
            )
            seconds = time.perf_counter() - started
            if process.poll() is not None:
                raise RuntimeError(f"the worker ended: {log.read_text()}")
            return seconds
        finally:
            process.terminate()
            process.wait(30)


def _api_s(environment: dict[str, str]) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "slicebank_service", "--port", str(port)],
        env={**environment, "SLICEBANK_LOG_LEVEL": "error"},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: process.poll() is not None or _is_ready(port), "the API")
        seconds = time.perf_counter() - started
        if process.poll() is not None:
            raise RuntimeError("the API ended before it was ready")
        return seconds
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
