"""Do four workers embed four times as much as one?

The distributed deployment on one machine: PostgreSQL, Valkey, S3, two API processes, and 1, 2 and 4 embed workers with one runner each. The
`sleep` encoder takes 0.05 s a row and no processor, as an accelerator of one's own would, so that what is timed is whether catalogue, broker, blobs and
workers get in each other's way. Time runs from the first job's start to the last one's end; uploads go on meanwhile, faster than they are embedded.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import write_series

if TYPE_CHECKING:
    from slicebank import Client

ENCODER = "sleep"
WORKERS = (1, 2, 4)
SLICES, MATRIX, WINDOWS = 8, 64, 2
# What is lost to waiting for each other stays below a tenth.
NEEDED = 3.6
_SENDERS = 2
# Until every worker has loaded the encoder.
_WARM_UP_SERIES = 24


def run(form: Form) -> None:
    """Measures on a cluster of its own."""
    from benchmarks.record import save
    from slicebank import Client
    from slicebank_models.encoders.sleep import SECONDS_A_ROW
    from tests.cluster.deployment import Cluster
    from tests.cluster.shape import Shape

    n_series = form.pick(60, 160)
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = [
            write_series(Path(scratch) / f"ct-{seed}", SLICES, seed, matrix=MATRIX).folder for seed in range(n_series)
        ]
        shape = Shape(apis=2, embed=0, train=0, predict=0)
        cluster = Cluster(Path(scratch) / "cluster", shape, settings={"SLICEBANK_RUNNERS": "1"})
        try:
            cluster.start()
            with Client(cluster.urls[0], cluster.api_key) as client:
                for before, workers in pairwise((0, *WORKERS)):
                    cluster.add_workers("embed", workers - before)
                    cluster.wait_until_ready()
                    _embed(client, folders[:_WARM_UP_SERIES])
                    rate = _embed(client, folders)
                    of_one = rate / points[0]["rows_per_s"] if points else 1.0
                    points.append({"workers": workers, "rows_per_s": rate, "of_one_worker": of_one})
                    print(f"{workers} workers: {rate:.1f} rows/s, {of_one:.2f} times one worker's", flush=True)
        finally:
            cluster.stop()
    figures = {
        "encoder": ENCODER,
        "most_rows_per_s_of_one": 1 / SECONDS_A_ROW,
        "series": n_series,
        "slices_per_series": SLICES,
        "points": points,
        "needed": NEEDED,
    }
    print(save("scaling", __doc__ or "", figures, form))


def _embed(client: Client, folders: list[Path]) -> float:
    """Embeds series and removes them again; rows a second.

    Raises:
        RuntimeError: a job did not succeed.
    """
    with ThreadPoolExecutor(_SENDERS) as senders:
        uploads = list(senders.map(lambda folder: client.series.upload(folder, encoder=ENCODER), folders))
    jobs = client.jobs.wait_all([job for upload in uploads for job in upload.job_ids], timeout=600)
    if any(job.state != "succeeded" for job in jobs):
        raise RuntimeError("a job did not succeed")
    started = min(job.started_at for job in jobs if job.started_at is not None)
    ended = max(job.finished_at for job in jobs if job.finished_at is not None)
    for upload in uploads:
        client.series.delete(upload.series[0].series_uid)
    return len(folders) * SLICES * WINDOWS / (ended - started).total_seconds()


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
