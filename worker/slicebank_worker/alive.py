"""Whether a worker of this machine is on the worker board: `python -m slicebank_worker.alive [embed|train|predict]`, for health checks.

Exit status 0: it is, or the broker does not answer. A broker that is away is no reason to end a worker, whose jobs go on meanwhile.
Exit status 1: the board answers, and no such worker is on it.
"""

from __future__ import annotations

import argparse
import socket
import sys

from slicebank_store.errors import QueueUnavailable
from slicebank_store.settings import StoreSettings
from slicebank_store.workers import read_workers

# A health check is asked every half a minute, so it can afford to wait for a broker that is busy.
_TIMEOUT_S = 3.0


def main(arguments: list[str] | None = None) -> int:
    """Says in a line whether a worker of this machine lives; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="slicebank_worker.alive", description="Whether a worker of this machine is on the worker board."
    )
    # Not the worker's own enum: importing it loads torch, which takes longer than the question.
    parser.add_argument("role", nargs="?", choices=("embed", "train", "predict"), help="ask for this kind alone")
    role: str | None = parser.parse_args(arguments).role
    host = socket.gethostname()
    try:
        workers = read_workers(StoreSettings().resolved_broker_url, timeout_s=_TIMEOUT_S)
    except QueueUnavailable as error:
        sys.stdout.write(f"unknown: {error}\n")
        return 0
    names = [worker.name for worker in workers if worker.name.split(":")[0] == host and role in (None, worker.role)]
    if names:
        sys.stdout.write(f"alive: {', '.join(names)}\n")
        return 0
    sys.stdout.write(
        f"silent: no {f'{role} ' if role else ''}worker of {host} has reported for 15 s; its log says why, restart it.\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
