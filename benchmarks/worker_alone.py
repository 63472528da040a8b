"""Is a worker as fast as its encoder, from DICOM files on disk to features, without service, catalogue and bags?

`of_alone` is the ratio of medians of the worker's rate and the encoder's own rate at its best batch size, measured in turn. `utilisation`
is the share of time in which the runners were encoding.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.encoder_alone import best_rows_per_s
from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import JPEG_LS, UNCOMPRESSED, write_series
from benchmarks.record import save

SYNTAXES = {"uncompressed": UNCOMPRESSED, "jpeg-ls": JPEG_LS}
BATCHES = (4, 8, 16)
SLICES_ON_GPU, SERIES_ON_GPU = 200, 8


def run(form: Form) -> None:
    """Measures on this machine's CPU."""
    from benchmarks.pipeline import open_pipeline

    encoders = ("mambaout_femto",) if form is Form.SHORT else ("mambaout_femto", "mambaout_tiny")
    slices, rounds = form.pick(20, 30), form.pick(2, 3)
    figures: dict[str, Any] = {"encoders": {}}
    with tempfile.TemporaryDirectory() as scratch:
        cases = {
            (series, name): [
                write_series(Path(scratch) / f"{name}-{seed}", slices, seed, syntax=syntax).folder
                for seed in range(series)
            ]
            for name, syntax in SYNTAXES.items()
            for series in ((4,) if form is Form.SHORT else (1, 4))
        }
        for encoder in encoders:
            with open_pipeline(f"{encoder}.untrained", "standard") as pipeline:
                for _ in range(form.pick(1, 2)):  # until the batch size has settled
                    pipeline.run(cases[4, "uncompressed"])
                alone: list[float] = []
                runs: dict[tuple[int, str], list[Any]] = {case: [] for case in cases}
                for _ in range(rounds):
                    alone.append(best_rows_per_s(pipeline.encoder, BATCHES, form.pick(1, 3)))
                    for case, folders in cases.items():
                        runs[case].append(pipeline.run(folders))
                figures["encoders"][encoder] = _summary(alone, runs)
                print(encoder, figures["encoders"][encoder]["runs"])
    print(save("worker_alone", __doc__ or "", figures, form))


def _summary(alone: list[float], runs: dict[tuple[int, str], list[Any]]) -> dict[str, Any]:
    own = statistics.median(alone)
    return {
        "alone_rows_per_s": own,
        "runs": [
            {
                "series": series,
                "syntax": syntax,
                "rows_per_s": (rate := statistics.median(done.rows / done.seconds for done in values)),
                "of_alone": rate / own,
                "utilisation": statistics.median(done.utilisation for done in values),
                "stages": {name: statistics.median(done.stages[name] for done in values) for name in values[0].stages},
            }
            for (series, syntax), values in runs.items()
        ],
    }


def run_on_gpu(form: Form) -> None:
    """Measures on all CUDA devices of this machine, for a minute or, in the short form, ten seconds a case."""
    import torch

    from benchmarks.pipeline import open_pipeline

    figures: dict[str, Any] = {"encoders": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for encoder in ("mambaout_femto", "mambaout_tiny"):
            with open_pipeline(f"{encoder}.untrained", "standard") as pipeline:
                runs: dict[tuple[int, str], list[Any]] = {}
                for name, syntax in SYNTAXES.items():
                    folders = [
                        write_series(Path(scratch) / f"{name}-{seed}", SLICES_ON_GPU, seed, syntax=syntax).folder
                        for seed in range(SERIES_ON_GPU)
                    ]
                    pipeline.run(folders)
                    until = time.monotonic() + form.pick(10, 60)
                    runs[SERIES_ON_GPU, name] = values = []
                    while time.monotonic() < until:
                        values.append(pipeline.run(folders, side_by_side=SERIES_ON_GPU))
                figures["encoders"][encoder] = _summary([_alone_on_gpu(pipeline, form)], runs)
                print(encoder, figures["encoders"][encoder]["runs"])
    print(save("worker_alone", __doc__ or "", figures, form, gpu=torch.cuda.get_device_name(0)))


def _alone_on_gpu(pipeline: Any, form: Form) -> float:
    """Rows a second over all devices, rows on the device already, at the best batch size."""
    import torch

    encoder = pipeline.encoder
    best = 0.0
    for batch in (64, 128, 256, 512):
        rows = torch.randint(0, 256, (batch, 224, 224), dtype=torch.uint8, device=encoder.device)
        encoder.features(rows)
        torch.cuda.synchronize(encoder.device)
        started = time.perf_counter()
        for _ in range(form.pick(5, 20)):
            encoder.features(rows)
        torch.cuda.synchronize(encoder.device)
        best = max(best, form.pick(5, 20) * batch / (time.perf_counter() - started))
    return best * pipeline.runners


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
