"""Does the memory of the embed worker grow with the length of a series, or with the number of jobs that wait?

Peak is the worker's high-water mark of resident memory (VmHWM of /proc/PID/status, set back through clear_refs before the upload)
until the job has ended; baseline is what it holds after a warm-up. Slices of 512 x 512, uncompressed, through REST, and the `dummy`
encoder: what the network itself needs does not depend on the series, as the points with the default encoder show. Waiting jobs: so
many series of 10 slices of 128 x 128, uploaded at once.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.long_series import SeriesWriter

if TYPE_CHECKING:
    from slicebank import Client

ENCODER = "dummy"
SHORT, FULL = (50, 200, 800), (50, 200, 800, 3000)
# Of the default encoder, in the full form; 400 slices are some 800 rows.
DEFAULT_POINTS = (50, 400)
SMALL_SLICES, SMALL_MATRIX = 10, 128
WAITING_SHORT, WAITING_FULL = (1, 40), (1, 40, 200)


def measure(client: Client, pid: int, folder: Path, encoder: str) -> float:
    """Peak of process `pid`, MiB, while every series below `folder` is embedded; the folder is removed.

    Raises:
        RuntimeError: a job did not succeed.
    """
    from benchmarks.processes import peak_mib, reset_peak

    reset_peak(pid)
    upload = client.series.upload(folder, encoder=encoder, priority="bulk")
    shutil.rmtree(folder)
    jobs = client.jobs.wait_all([item.job_id or "" for item in upload.series], timeout=400)
    if any(job.state != "succeeded" for job in jobs):
        raise RuntimeError(f"a job of {encoder} did not succeed")
    return peak_mib(pid)


def run(form: Form) -> None:
    """Measures one worker of one service, from short series to long ones."""
    from benchmarks.processes import resident_mib, services_ready, worker_pid
    from benchmarks.record import save
    from benchmarks.serving import serving
    from slicebank_models.registry import DEFAULT_ENCODER

    large, small = SeriesWriter(matrix=512), SeriesWriter(matrix=SMALL_MATRIX, phantom_slices=SMALL_SLICES)
    full = form is Form.FULL
    points: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch) / "data") as client:
        services_ready(Path(scratch) / "data")
        pid = worker_pid(Path(scratch) / "data", "embed")
        folder = Path(scratch) / "upload"

        def point(n_slices: int, encoder: str) -> float:
            large.write(folder, n_slices, f"memory-{encoder}-{n_slices}")
            return measure(client, pid, folder, encoder)

        for encoder in (ENCODER, DEFAULT_ENCODER) if full else (ENCODER,):
            point(20, encoder)
        baseline = resident_mib(pid)
        print(f"baseline {baseline:.0f} MiB")
        lengths = [(n_slices, ENCODER) for n_slices in (FULL if full else SHORT)]
        lengths += [(n_slices, DEFAULT_ENCODER) for n_slices in (DEFAULT_POINTS if full else ())]
        for n_slices, encoder in lengths:
            points.append({"slices": n_slices, "peak_mib": point(n_slices, encoder), "encoder": encoder})
            print(f"{n_slices} slices, {encoder}: peak {points[-1]['peak_mib']:.0f} MiB", flush=True)
        for n_jobs in WAITING_FULL if full else WAITING_SHORT:
            for number in range(n_jobs):
                small.write(folder / f"{number:03d}", SMALL_SLICES, f"waiting-{n_jobs}-{number}")
            waiting.append({"jobs": n_jobs, "peak_mib": measure(client, pid, folder, ENCODER)})
            print(f"{n_jobs} jobs: peak {waiting[-1]['peak_mib']:.0f} MiB", flush=True)
    figures = {
        "what": "VmHWM of the embed worker",
        "baseline_mib": baseline,
        "points": points,
        "waiting_jobs": waiting,
    }
    print(save("memory", __doc__ or "", figures, form))


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
