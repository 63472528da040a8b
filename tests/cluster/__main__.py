"""Runs the distributed deployment here until Ctrl-C: `python -m tests.cluster [--workers 3] [--apis 2]`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from tests.cluster.deployment import Cluster
from tests.cluster.shape import Shape

_TEND_S = 0.2


class _Stopped(Exception):
    """Somebody asked for the end."""


def main() -> int:
    """Starts a cluster, says how to use it, and tends it until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--workers", type=int, default=3, help="embed workers")
    parser.add_argument("--apis", type=int, default=2, help="API processes")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with tempfile.TemporaryDirectory(prefix="slicebank-cluster-") as folder:
            _serve(Path(folder), Shape(apis=arguments.apis, embed=arguments.workers))
    except _Stopped:
        return 0
    return 1


def _serve(folder: Path, shape: Shape) -> None:
    cluster = Cluster(folder, shape, settings={})
    workers = sum(shape.workers.values())
    try:
        _tell(f"Starting PostgreSQL, Valkey, S3, {shape.apis} API processes and {workers} workers")
        cluster.start()
        _tell(_how_to_use(cluster))
        while True:
            cluster.tend()
            time.sleep(_TEND_S)
    finally:
        _tell("Stopping; workers hand their jobs back first")
        cluster.stop()


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _how_to_use(cluster: Cluster) -> str:
    lines = [
        "",
        "The cluster is serving. In another terminal:",
        "",
        f"  export SLICEBANK_URL={cluster.urls[0]} SLICEBANK_API_KEY={cluster.api_key}",
        "  slicebank upload FOLDER_OR_ZIP",
        "",
        f"APIs       {'  '.join(cluster.urls)}",
        f"catalogue  {cluster.catalogue_url}",
        f"broker     {cluster.valkey.url()}",
        f"blobs      {cluster.seaweed.environment['SLICEBANK_BLOBS_URL']} at {cluster.seaweed.endpoint}",
        f"logs       {cluster.log_dir}",
        "",
        "Ctrl-C ends it and removes everything that it kept.",
    ]
    return "\n".join(lines)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end is under way; a second Ctrl-C must not leave processes behind
    raise _Stopped


if __name__ == "__main__":
    sys.exit(main())
