"""Does a slice cost the same in a cohort of one series as in one of hundreds?

Series of 20 slices of 128 x 128 and the `dummy` encoder, so that what is timed is everything around the encoder: upload, headers,
catalogue, queue, leases, bags. A cohort is a folder, sent by one call of the SDK; time runs from that call to the last of its bags.
The cohorts grow on one service, so that later ones also find a fuller catalogue. In a cohort of one, nothing overlaps.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.long_series import SeriesWriter

if TYPE_CHECKING:
    from slicebank import Client

SLICES = 20
MATRIX = 128
ENCODER = "dummy"
SHORT, FULL = (1, 10, 50), (1, 10, 100, 500)


def measure(client: Client, writer: SeriesWriter, folder: Path, n_series: int) -> dict[str, Any]:
    """One cohort, from its upload to its last bag.

    Raises:
        RuntimeError: a series was refused, or a job did not succeed.
    """
    for number in range(n_series):
        writer.write(folder / f"{number:04d}", SLICES, f"cohort-{n_series}-{number}")
    started = time.perf_counter()
    upload = client.series.upload(folder, encoder=ENCODER, priority="bulk")
    acknowledged = time.perf_counter()
    jobs = client.jobs.wait_all([item.job_id or "" for item in upload.series], timeout=300)
    ended = time.perf_counter()
    if len(jobs) != n_series or any(job.state != "succeeded" for job in jobs):
        raise RuntimeError(f"of {n_series} series {sum(job.state == 'succeeded' for job in jobs)} were embedded")
    shutil.rmtree(folder)
    thousands = n_series * SLICES / 1000
    return {
        "series": n_series,
        "slices_per_series": SLICES,
        "seconds_per_1000_slices": (ended - started) / thousands,
        "upload_seconds_per_1000_slices": (acknowledged - started) / thousands,
        "embed_seconds_per_1000_slices": (ended - acknowledged) / thousands,
    }


def run(form: Form) -> None:
    """Measures cohorts of growing size on one service."""
    from benchmarks.processes import services_ready
    from benchmarks.record import save
    from benchmarks.serving import serving

    writer = SeriesWriter(matrix=MATRIX, phantom_slices=SLICES)
    points = []
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch) / "data") as client:
        services_ready(Path(scratch) / "data")
        measure(client, writer, Path(scratch) / "warm-up", 2)
        for n_series in SHORT if form is Form.SHORT else FULL:
            point = measure(client, writer, Path(scratch) / f"cohort-{n_series}", n_series)
            points.append(point)
            print(
                f"{n_series} series: {point['seconds_per_1000_slices']:.1f} s per 1,000 slices, "
                f"{point['upload_seconds_per_1000_slices']:.1f} s of them the upload",
                flush=True,
            )
    print(save("cohort_cost", __doc__ or "", {"encoder": ENCODER, "matrix": MATRIX, "points": points}, form))


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
