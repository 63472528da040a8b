"""The generated blocks of the page: each stands between `<!-- benchmark: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.page import deployment_tables, pretraining_tables, serving_tables, tables, training_tables
from benchmarks.page.results import ON_PAGE, Machine

PICTURES = "performance"  # folder of the plots, beside the page
# Benchmarks with a plot, and what it shows.
PLOTTED = {
    "encoder_alone": "Rows a second over batch size",
    "end_to_end": "End to end against the encoder alone",
    "memory": "Worker memory over series length",
    "cohort_cost": "Cost per 1,000 slices over cohort size",
    "decode_rates": "Slices a second per transfer syntax",
}
ON_GPU = ("encoder_alone", "worker_alone", "pretraining_speed")
_BLOCK = re.compile(r"<!-- benchmark: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def picture_name(machine: Machine, benchmark: str) -> str:
    """File name of a machine's plot."""
    return f"{machine.folder}-{benchmark.replace('_', '-')}.svg"


def machines_block(machines: Sequence[Machine]) -> str:
    """Which machines there are and when what was measured on them."""
    rows = []
    for machine in machines:
        documents = machine.results.values()
        missing = [name for name in (ON_GPU if machine.gpu else ON_PAGE) if name not in machine.results]
        rows.append(
            [
                machine.title,
                machine.gpu or "none",
                ", ".join(sorted({document["form"] for document in documents})),
                ", ".join(sorted({document["measured_at"][:10] for document in documents})),
                ", ".join(sorted({document["versions"]["torch"] for document in documents})),
                ", ".join(f"`{name}`" for name in missing) or "nothing",
            ]
        )
    return tables.table(("machine", "GPU", "form", "measured", "torch", "not measured"), rows)


def gpu_block(machines: Sequence[Machine]) -> str:
    """Figures of GPUs, or that there are none."""
    with_gpu = [machine for machine in machines if machine.gpu]
    if not with_gpu:
        return "**No GPU figure has been measured yet.** Everything on this page ran on processors alone."
    return "\n\n".join(
        _of_machine(machine, name) for machine in with_gpu for name in ON_GPU if machine.figures(name) is not None
    )


def benchmark_block(benchmark: str, machines: Sequence[Machine]) -> str:
    """One table for each machine without a GPU that it was measured on; where there is none, all are named."""
    alone = [machine for machine in machines if not machine.gpu]
    measured = [machine for machine in alone if machine.figures(benchmark) is not None]
    parts = [_of_machine(machine, benchmark) for machine in measured or alone]
    return "\n\n".join(parts) or f"{tables.NOT_MEASURED.capitalize()}."


def _of_machine(machine: Machine, benchmark: str) -> str:
    figures = machine.figures(benchmark)
    if figures is None:
        return f"**{machine.title}**: {tables.NOT_MEASURED}"
    parts = [f"**{machine.title}** ({machine.results[benchmark]['form']} form)", TABLES[benchmark](figures)]
    if benchmark in PLOTTED:
        text = f"{PLOTTED[benchmark]}, {machine.title}"
        parts.append(f"![{text}]({PICTURES}/{picture_name(machine, benchmark)})")
    return "\n\n".join(parts)


TABLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "encoder_alone": tables.encoder_alone,
    "published_loop": tables.published_loop,
    "end_to_end": tables.end_to_end,
    "worker_alone": tables.worker_alone,
    "latency": tables.latency,
    "prediction_latency": serving_tables.prediction_latency,
    "memory": tables.memory,
    "cohort_cost": tables.cohort_cost,
    "scaling": deployment_tables.scaling,
    "catalogue_size": deployment_tables.catalogue_size,
    "polling": deployment_tables.polling,
    "intake": deployment_tables.intake,
    "decode_rates": tables.decode_rates,
    "resize": tables.resize,
    "int8": tables.int8,
    "pretraining_speed": pretraining_tables.pretraining_speed,
    "head_training": training_tables.head_training,
}
BLOCKS = ("machines", *TABLES, "gpu")


def render(page: str, machines: Sequence[Machine]) -> str:
    """The page with every block made anew.

    Raises:
        KeyError: the page has a block that nothing makes.
    """

    def block(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "machines":
            text = machines_block(machines)
        elif name == "gpu":
            text = gpu_block(machines)
        elif name in TABLES:
            text = benchmark_block(name, machines)
        else:
            raise KeyError(f"nothing makes the block {name}")
        return f"<!-- benchmark: {name} -->\n{text}\n<!-- end -->"

    return _BLOCK.sub(block, page)


def block_names(page: str) -> list[str]:
    """Names of the page's blocks, in order."""
    return _BLOCK.findall(page)
