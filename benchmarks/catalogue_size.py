"""Does the catalogue stay as quick when it grows to a million series and two million bags, on PostgreSQL and on SQLite?

Rows are synthetic and made inside the database: two series a study, two studies a patient, two bags and a tenth of a job a series. Each
question is asked through the catalogue's own methods, as the API asks it, of another series, page or filter every time; pages have 100
items. A page in the middle begins at the cursor of the series half way. Ingest is taking in one more series of 100 slices with its job,
committed to disk. PostgreSQL 18 runs with its default settings on the same machine; SQLite is one file. All questions take turns in rounds.
Other programs on the machine disturb some rounds, so each question's figures are those of its quietest round; p95 over all rounds stands
beside them in the file.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments

if TYPE_CHECKING:
    from slicebank_store.catalogue import Catalogue, IncomingSeries

SIZES = (10_000, 100_000, 1_000_000)
# p95 of every question, ms: what must hold at the largest size.
NEEDED_MS = {"postgresql": 30.0, "sqlite": 60.0}
LIMIT = 100
_SEED = 7
REPEATS, _WARM_UP = 40, 3

Ask = Callable[[int], object]
"""A question about the series of some number."""


def questions(catalogue: Catalogue, size: int) -> Mapping[str, Ask]:
    """Every kind of question that the API asks of a catalogue, by name.

    Args:
        catalogue: to be asked.
        size: its number of series.
    """
    from benchmarks import catalogue_rows as rows
    from slicebank_store.catalogue.paging import encode_cursor
    from slicebank_store.types import DEFAULT_PROJECT, JobKind, JobState

    project, middle = DEFAULT_PROJECT, size // 2
    series, bags, jobs = catalogue.series, catalogue.bags, catalogue.jobs

    def cursor(number: int, span: int = 1) -> str:
        at = middle + number % (size // 4)
        return encode_cursor(rows.BASE_TIME + at, rows.series_uid(at) if span == 1 else "g")

    def shown(number: int) -> object:
        page = series.list(project, limit=LIMIT, cursor=cursor(number))
        return series.current_revisions(project, [item.series_uid for item in page.items])

    def body_part(number: int) -> str:
        return rows.BODY_PARTS[number % len(rows.BODY_PARTS)]

    def encoder(number: int) -> str:
        return rows.ENCODERS[number % len(rows.ENCODERS)]

    def page(ask: Callable[..., object], **filters: Any) -> object:
        return ask(project, limit=LIMIT, **filters)

    return {
        "one series": lambda n: series.get(project, rows.series_uid(n)),
        "one bag": lambda n: bags.get(project, rows.bag_id(n, 0)),
        "one job": lambda n: jobs.get(project, rows.job_id(n - n % rows.SERIES_A_JOB)),
        "series, first page": lambda _: page(series.list),
        "series, page in the middle": lambda n: page(series.list, cursor=cursor(n)),
        "series, page in the middle with revisions": shown,
        "series of a study": lambda n: page(series.list, study_uid=rows.study_uid(n)),
        "series of a patient": lambda n: page(series.list, patient=rows.patient(n)),
        "series of a body part": lambda n: page(series.list, body_part=body_part(n), cursor=cursor(n)),
        "bags, first page": lambda _: page(bags.list),
        "bags, page in the middle": lambda n: page(bags.list, cursor=cursor(n, 2)),
        "bags of a series": lambda n: page(bags.list, series_uid=rows.series_uid(n)),
        "bags of a study": lambda n: page(bags.list, study_uid=rows.study_uid(n)),
        "bags of a patient": lambda n: page(bags.list, patient=rows.patient(n)),
        "bags of an encoder": lambda n: page(bags.list, encoder=encoder(n), cursor=cursor(n, 2)),
        "bags of a recipe": lambda n: page(bags.list, recipe_digest=rows.recipe_digest(n, n % 2), cursor=cursor(n, 2)),
        "jobs, first page": lambda _: page(jobs.list),
        "jobs, page in the middle": lambda n: page(jobs.list, cursor=cursor(n, 2)),
        "jobs in a state": lambda n: page(jobs.list, state=JobState.FAILED, cursor=cursor(n, 2)),
        "jobs of a kind": lambda n: page(jobs.list, kind=JobKind.TRAIN, cursor=cursor(n, 2)),
        "jobs of a kind in a state": lambda n: page(jobs.list, kind=JobKind.PREDICT, state=JobState.FAILED),
        "jobs of a series": lambda n: page(jobs.list, series_uid=rows.series_uid(n - n % rows.SERIES_A_JOB)),
    }


def ingest(catalogue: Catalogue, size: int) -> Ask:
    """Takes in one more series, new every time."""
    from slicebank_store.catalogue import EmbedRequest
    from slicebank_store.recipe import Recipe, RecipeWindow

    windows = (RecipeWindow("abdomen", -175, 275), RecipeWindow("lung", -1500, 500))
    recipe = Recipe(encoder="dummy", weights_digest="0" * 64, windows=windows, size=224, resize="pil_antialias")
    taken = iter(range(10 * size, 11 * size))

    def take(_number: int) -> object:
        number = next(taken)
        return catalogue.submissions.submit_series(_incoming(number), EmbedRequest(recipe, staging=f"{number:032x}"))

    return take


def _incoming(number: int) -> IncomingSeries:
    from benchmarks.catalogue_rows import SLICES
    from slicebank_store.catalogue import IncomingSeries, IncomingStack
    from slicebank_store.identity import content_digest
    from slicebank_store.types import DEFAULT_PROJECT

    digests = tuple(f"{number * SLICES + at:064x}" for at in range(SLICES))
    each = {"frame_number": 1, "slope": 1.0, "intercept": -1024.0, "padding": None}
    slices = [
        {"file": f"0/{at}", "sop_instance_uid": f"1.2.3.{number}.{at}", "instance_number": at, "z_mm": 2.5 * at, **each}
        for at in range(SLICES)
    ]
    stack = IncomingStack(
        stack=0,
        slices=slices,
        slice_digests=digests,
        content_digest=content_digest(digests),
        n_slices=SLICES,
        geometry={"n_slices": SLICES, "uniform": True},
        rescale={"slope": 1.0, "intercept": -1024.0},
        rows=512,
        columns=512,
        field_of_view_mm=400.0,
        axial=True,
    )
    return IncomingSeries(
        project=DEFAULT_PROJECT,
        series_uid=f"1.2.826.0.3.{number}",
        study_uid=f"1.2.826.0.4.{number}",
        patient=f"{number:032x}",
        body_part="CHEST",
        stacks=(stack,),
        default_stack=0,
        options={},
    )


def measure(asks: Mapping[str, Ask], size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile, ms, of questions about series drawn at random."""
    draw = random.Random(_SEED)
    times: dict[str, list[list[float]]] = {name: [] for name in asks}
    for _ in range(rounds):
        for name, ask in asks.items():
            times[name].append([])
            for _ in range(_WARM_UP + REPEATS):
                number = draw.randrange(size)
                started = time.perf_counter()
                ask(number)
                times[name][-1].append(1000 * (time.perf_counter() - started))
            del times[name][-1][:_WARM_UP]
    return {name: _figures(each) for name, each in times.items()}


def _figures(rounds: list[list[float]]) -> dict[str, float]:
    quietest = min(rounds, key=_p95)
    every = [value for each in rounds for value in each]
    return {"p50_ms": statistics.median(quietest), "p95_ms": _p95(quietest), "p95_of_all_rounds_ms": _p95(every)}


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


@contextmanager
def _databases(folder: Path) -> Iterator[dict[str, str]]:
    from tests.cluster.postgres import PostgresServer

    # PostgreSQL's own defaults, where tests have others.
    server = PostgresServer(folder, {"fsync": "on", "shared_buffers": "128MB", "max_connections": "100"})
    server.start()
    try:
        yield {"postgresql": server.url(), "sqlite": f"sqlite:///{folder / 'catalogue.sqlite'}"}
    finally:
        server.remove()


def run(form: Form) -> None:
    """Fills both databases step by step and asks at every size."""
    from benchmarks.catalogue_rows import fill, size_bytes
    from benchmarks.record import save
    from slicebank_store.catalogue import Catalogue

    rounds = form.pick(2, 6)
    databases: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as scratch, _databases(Path(scratch)) as urls:
        for name, url in urls.items():
            Catalogue.create_or_upgrade(url).close()
            points = databases[name] = []
            filled = 0
            for size in SIZES[: form.pick(2, 3)]:
                fill(url, filled, size)
                filled = size
                asked = _ask_all(url, size, rounds)
                points.append({"series": size, "size_bytes": size_bytes(url), "questions": asked})
                worst = max(asked, key=lambda question: asked[question]["p95_ms"])
                print(f"{name}, {size:,} series: slowest p95 {asked[worst]['p95_ms']:.1f} ms, {worst}", flush=True)
    needed = {"limit": LIMIT, "rounds": rounds, "repeats": REPEATS, "needed_p95_ms": NEEDED_MS}
    figures = {**needed, "databases": databases}
    print(save("catalogue_size", __doc__ or "", figures, form))


def _ask_all(url: str, size: int, rounds: int) -> dict[str, dict[str, float]]:
    from slicebank_store.catalogue import Catalogue

    catalogue = Catalogue.open(url)
    asks = {**questions(catalogue, size), "ingest of one more series": ingest(catalogue, size)}
    asked = measure(asks, size, rounds)
    catalogue.close()
    return asked


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
