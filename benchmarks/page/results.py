"""The committed results, machine by machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Those that the page shows; phantom_lesions and synthetic_mil are about heads and stand in docs/heads.md, tumour_slices in docs/tumour_slices.md, selective_scan in docs/selective_scan.md, encoder_quality is about features.
ON_PAGE = (
    "encoder_alone",
    "published_loop",
    "end_to_end",
    "worker_alone",
    "latency",
    "prediction_latency",
    "memory",
    "cohort_cost",
    "scaling",
    "catalogue_size",
    "polling",
    "intake",
    "decode_rates",
    "resize",
    "int8",
    "pretraining_speed",
    "head_training",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine's results.

    Attributes:
        folder: name of its folder.
        about: `cpu`, `class`, `cores`, `gpu`.
        results: benchmark to the document that `record.save` wrote.
    """

    folder: str
    about: Mapping[str, Any]
    results: Mapping[str, Mapping[str, Any]]

    @property
    def gpu(self) -> str | None:
        """Name of the GPU, where these are a GPU's results."""
        return self.about["gpu"]

    @property
    def title(self) -> str:
        """One line that names the machine."""
        host = f"{self.about['cpu']}, {self.about['class']}, {self.about['cores']} cores"
        return f"{self.gpu} in {host}" if self.gpu else host

    def figures(self, benchmark: str) -> Mapping[str, Any] | None:
        """Figures of one benchmark; None where it was not measured."""
        return self.results[benchmark]["figures"] if benchmark in self.results else None


def read_machines(root: Path) -> tuple[Machine, ...]:
    """Machines with at least one result for the page, by folder name."""
    machines = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        documents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
        results = {name: documents[name] for name in ON_PAGE if name in documents}
        if results:
            machines.append(Machine(folder.name, next(iter(results.values()))["machine"], results))
    return tuple(machines)
