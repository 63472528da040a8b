"""One small script a question; results as JSON with machine, versions and commit.

Every benchmark is a module with `run(form)`, which measures, prints a line or two and saves its figures.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from benchmarks.form import Form


def _late(module: str, function: str = "run") -> Callable[[Form], None]:
    """Imports a benchmark only when it is run, so that one does not pay for the imports of another."""

    def run(form: Form) -> None:
        getattr(importlib.import_module(f"benchmarks.{module}"), function)(form)

    return run


BENCHMARKS: Mapping[str, Callable[[Form], None]] = {
    name: _late(name)
    for name in (
        "encoder_alone",
        "published_loop",
        "end_to_end",
        "worker_alone",
        "decode_rates",
        "resize",
        "selective_scan",
        "int8",
        "memory",
        "cohort_cost",
        "scaling",
        "catalogue_size",
        "polling",
        "intake",
        "latency",
        "prediction_latency",
        "phantom_lesions",
        "encoder_quality",
        "lecl_phantoms",
        "pretraining_speed",
        "head_training",
        "synthetic_mil",
        "tumour_slices",
    )
}

GPU_BENCHMARKS: Mapping[str, Callable[[Form], None]] = {
    "encoder_alone": _late("encoder_alone", "run_on_gpu"),
    "worker_alone": _late("worker_alone", "run_on_gpu"),
    "selective_scan": _late("selective_scan", "run_on_gpu"),
    "pretraining_speed": _late("pretraining_speed", "run_on_gpu"),
}
