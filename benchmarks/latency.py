"""How long is the first bag of a short series waited for on an idle service, and how long does a service take to start?

First bag: 20 uncompressed slices of 512 x 512, one series after the other, each another patient; from the upload's answer to the end
of a long-poll on its job, through REST. The yardstick is the same series in one process, in the same run and in turn with the
service: decode, encode and write one after the other, each on all cores. Overhead is the median wait less the yardstick's medians;
the service lets the three overlap, so it can be negative. With the default encoder the noise of encoding hides it; the `dummy`
encoder, which costs next to nothing, shows it. Cold start: processes spawned on a warm disk cache, beside an idle service.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.inputs import Series, write_series

if TYPE_CHECKING:
    from benchmarks.yardstick import Parts, Yardstick
    from slicebank import Client

SLICES = 20
CHEAP_ENCODER = "dummy"
SEED = 41_000


@dataclass
class FirstBags:
    """Waits and yardsticks of one encoder, run by run; times in ms, stages in s."""

    encoder: str
    walls: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    parts: list[Parts] = field(default_factory=list)

    def measure(self, client: Client, yardstick: Yardstick, series: Series) -> None:
        """Uploads and waits, then measures the yardstick on the same files."""
        started = time.perf_counter()
        upload = client.series.upload(series.folder, encoder=self.encoder).series[0]
        acknowledged = time.perf_counter()
        job = client.jobs.wait(upload.job_id or "", timeout=120)
        ended = time.perf_counter()
        self.uploads.append(1000 * (acknowledged - started))
        self.walls.append(1000 * (ended - acknowledged))
        self.stages.append(dict(job.stages))
        self.parts.append(yardstick.measure(series, self.encoder))

    def figures(self) -> dict[str, Any]:
        """Medians over all runs but the first, which warms both sides."""
        from benchmarks.yardstick import medians_ms

        floor = medians_ms(self.parts[1:])
        wall = statistics.median(self.walls[1:])
        stages = self.stages[1:]
        return {
            "encoder": self.encoder,
            "slices": SLICES,
            "runs": len(stages),
            "wall_ms": wall,
            "walls_ms": self.walls[1:],
            "yardstick_ms": floor,
            "overhead_ms": wall - sum(floor.values()),
            "upload_ms": statistics.median(self.uploads[1:]),
            "stages_ms": {name: 1000 * statistics.median(item.get(name, 0.0) for item in stages) for name in stages[0]},
        }


def measure_first_bags(client: Client, scratch: Path, runs: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of the default encoder and of the cheap one, over `runs` series each."""
    from benchmarks.yardstick import Yardstick
    from slicebank_models.registry import DEFAULT_ENCODER

    bags = FirstBags(DEFAULT_ENCODER), FirstBags(CHEAP_ENCODER)
    yardstick = Yardstick()
    try:
        for number in range(1 + runs):
            series = write_series(scratch / f"{number:03d}", SLICES, SEED + number)
            for each in bags:
                each.measure(client, yardstick, series)
    finally:
        yardstick.close()
    return bags[0].figures(), bags[1].figures()


def run(form: Form) -> None:
    """Measures first bags, then cold starts, on one service."""
    from benchmarks.cold_start import measure_cold_start
    from benchmarks.processes import services_ready
    from benchmarks.record import save
    from benchmarks.serving import serving

    with tempfile.TemporaryDirectory() as scratch:
        data_dir = Path(scratch) / "data"
        with serving(data_dir) as client:
            services_ready(data_dir)
            first, cheap = measure_first_bags(client, Path(scratch) / "series", form.pick(7, 15))
            cold = measure_cold_start(data_dir, rounds=form.pick(1, 5))
    for bag in (first, cheap):
        floor = ", ".join(f"{name} {value:.0f}" for name, value in bag["yardstick_ms"].items())
        print(
            f"first bag, {bag['encoder']}: {bag['wall_ms']:.0f} ms; yardstick {floor}; overhead {bag['overhead_ms']:.0f} ms"
        )
    print(
        f"cold start: imports {cold['imports_s']:.1f} s, worker {cold['worker_s']:.1f} s "
        f"({cold['beyond_imports_s']:+.1f} s), API {cold['api_s']:.2f} s"
    )
    figures = {"first_bag": first, "first_bag_cheap_encoder": cheap, "cold_start": cold}
    print(save("latency", __doc__ or "", figures, form))


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
