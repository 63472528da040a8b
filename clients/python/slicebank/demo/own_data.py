"""The demo on a user's own CT: bags and a picture of each; a head needs labels, which nobody has given here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.markup import escape

from slicebank.client import Client
from slicebank.demo.bag import show_bag
from slicebank.demo.steps import Steps
from slicebank.records import JobState

# A folder may hold a cohort; a few pictures show what there is to see.
PICTURES = 4


def run_own_data(steps: Steps, data: Path, results: Path, connect: Callable[[], Client]) -> dict[str, Any]:
    """Upload, embed with the default encoder, download and draw; returns what was found, for `--json`."""
    with steps.step("Waiting for the server"), steps.spinner("starting broker, API and workers"):
        client = connect()
    with client:
        with steps.step(f"Uploading {data}"):
            sent = steps.upload(client, [data])
            for code, count in Counter(item.code for item in sent.rejected).most_common():
                example = next(item for item in sent.rejected if item.code == code)
                steps.tell(f"{count} refused: {escape(example.detail or code)} ({escape(example.name)})")
            if sent.skipped:
                steps.tell(f"{len(sent.skipped)} files were not sent, as they cannot be DICOM")
        with steps.step("Embedding every slice with the default encoder"):
            jobs = steps.wait(client, sent.job_ids)
            made = [
                str(job.result["bag_id"]) for job in jobs if job.state is JobState.SUCCEEDED and "bag_id" in job.result
            ]
        with steps.step("Downloading the bags and drawing them"):
            bags = [show_bag(steps, client, bag_id, results, picture=True) for bag_id in dict.fromkeys(made[:PICTURES])]
            if len(made) > PICTURES:
                steps.tell(f"{len(made) - PICTURES} more bags were made and are not drawn here")
    steps.tell("A head needs labels: `slicebank heads train --help` says how to give them.")
    return {"bags": bags, "rejected": len(sent.rejected)}
