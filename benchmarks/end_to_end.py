"""Is the whole service as fast as its encoder, from an upload acknowledged to the last bag in the store?

API, broker, catalogue, workers and this client share the machine's cores. The clock starts when the first of the uploads, which run side
by side, is acknowledged, and ends when the last job is seen as done. `of_alone` is the ratio of medians of that rate and the encoder's own rate at
its best batch size, measured in turn. `with_upload` starts the clock before the first byte is sent.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.encoder_alone import best_rows_per_s
from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import Series, write_series
from benchmarks.record import save
from benchmarks.serving import serving
from benchmarks.worker_alone import BATCHES, SYNTAXES
from slicebank import Client

WINDOWS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """So many series of so many slices, sent side by side."""

    series: int
    slices: int
    syntax: str


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of one run: from the first acknowledgement, and from the first byte."""

    seconds: float
    with_upload: float


def run(form: Form) -> None:
    """Measures through REST, on a service of its own."""
    from benchmarks.pipeline import open_encoder
    from slicebank_worker.allocator import keep_freed_memory

    keep_freed_memory()
    encoders = ("mambaout_femto",) if form is Form.SHORT else ("mambaout_femto", "mambaout_tiny")
    figures: dict[str, Any] = {"encoders": {}}
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch) / "data") as client:
        cases = {case: _write(Path(scratch), case) for case in _cases(form)}
        for name in encoders:
            encoder_id = f"{name}.untrained"
            encoder = open_encoder(encoder_id, "standard")
            # A large network only where the promise is made; the rest would take half an hour on two cores.
            mine = {case: series for case, series in cases.items() if name == encoders[0] or case.series == 4}
            first = next(iter(mine.values()))
            for _ in range(form.pick(1, 2)):  # until the batch size has settled
                _embed(client, first, encoder_id)
            alone: list[float] = []
            runs: dict[Case, list[Run]] = {case: [] for case in mine}
            for _ in range(2):
                for case, series in mine.items():
                    alone.append(best_rows_per_s(encoder, BATCHES, form.pick(1, 2)))
                    runs[case].append(_embed(client, series, encoder_id))
            figures["encoders"][name] = _summary(str(encoder.dtype).removeprefix("torch."), alone, runs)
            for line in figures["encoders"][name]["runs"]:
                print(name, line)
    print(save("end_to_end", __doc__ or "", figures, form))


def _cases(form: Form) -> list[Case]:
    if form is Form.SHORT:
        return [Case(4, 30, syntax) for syntax in SYNTAXES]
    return [Case(series, slices, syntax) for series, slices in ((4, 40), (1, 40), (16, 15)) for syntax in SYNTAXES]


def _write(root: Path, case: Case) -> list[Series]:
    folder = root / f"{case.syntax}-{case.series}"
    return [
        write_series(folder / str(seed), case.slices, seed + 100 * case.series, syntax=SYNTAXES[case.syntax])
        for seed in range(case.series)
    ]


def _embed(client: Client, series: Sequence[Series], encoder_id: str) -> Run:
    """Uploads series side by side, waits for their bags, and removes them again."""
    acknowledged: list[float] = []

    def send(one: Series) -> str:
        upload = client.series.upload(one.folder, encoder=encoder_id)
        acknowledged.append(time.perf_counter())
        return str(upload.series[0].job_id)

    started = time.perf_counter()
    with ThreadPoolExecutor(len(series)) as senders:
        jobs = list(senders.map(send, series))
    for job in jobs:
        client.jobs.wait(job)
    ended = time.perf_counter()
    for one in series:
        client.series.delete(one.series_uid)
    return Run(ended - min(acknowledged), ended - started)


def _summary(precision: str, alone: list[float], runs: dict[Case, list[Run]]) -> dict[str, Any]:
    own = statistics.median(alone)
    lines = []
    for case, values in runs.items():
        rows = case.series * case.slices * WINDOWS
        rate = rows / statistics.median(value.seconds for value in values)
        whole = rows / statistics.median(value.with_upload for value in values)
        lines.append(
            {
                "series": case.series,
                "slices": case.slices,
                "syntax": case.syntax,
                "rows_per_s": rate,
                "of_alone": rate / own,
                "with_upload_rows_per_s": whole,
                "with_upload_of_alone": whole / own,
            }
        )
    return {"precision": precision, "alone_rows_per_s": own, "runs": lines}


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
