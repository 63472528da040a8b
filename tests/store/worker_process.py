"""A Celery worker for tests: appends the ids it is sent to a file, and can be told to hang on one.

Run as `python worker_process.py BROKER_URL QUEUE FILE`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from slicebank_store.queue import make_celery


def main(broker_url: str, queue: str, file: str) -> None:
    app = make_celery(broker_url)

    def work(job_id: str) -> None:
        with Path(file).open("a") as seen:
            seen.write(f"{job_id}\n")
        if job_id == "hang":
            time.sleep(3600)

    app.task(name=f"slicebank.{queue}", ignore_result=True)(work)
    app.Worker(
        pool="threads", concurrency=1, queues=[queue], loglevel="WARNING", without_gossip=True, without_mingle=True
    ).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
