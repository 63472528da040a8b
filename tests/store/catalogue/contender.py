"""A process that contends for one catalogue: waits for the start file, submits one series, claims jobs, prints what it got.

Run as `python contender.py URL START SUBMISSION JOB...`; `SUBMISSION` is a pickled pair of series and request, made by the test.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path

from slicebank_store.catalogue import Catalogue


def main(url: str, start: str, submission: str, *job_ids: str) -> None:
    incoming, request = pickle.loads(Path(submission).read_bytes())
    catalogue = Catalogue.open(url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not Path(start).exists():
        time.sleep(0.001)
    submitted = catalogue.submissions.submit_series(incoming, request)[0]
    won = [job_id for job_id in job_ids if catalogue.jobs.claim(job_id, worker="p", lease_s=60) is not None]
    catalogue.close()
    json.dump({"job_id": submitted.job_id, "created": submitted.created, "won": won}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
