"""Do 500 clients that poll, or 700 that wait, slow an API process down?

One API process (uvicorn) beside a real broker, on SQLite and on PostgreSQL; all clients are one asyncio process on the same machine. First 500
clients poll a job each, every 2 s, 100 of the jobs running and the others queued. Then 500 long-polls and 200 event streams wait for one job: how
many database connections transactions hold meanwhile, how many questions the catalogue is asked, and how long after the job's end the first, the
median and the last client are told.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.many_clients import Answers, KeptConnection, poll

if TYPE_CHECKING:
    from slicebank_store.catalogue import Catalogue, Lease
    from slicebank_store.notify import Notifier

CLIENTS, RUNNING = 500, 100
EVERY_S = 2.0
LONG_POLLS, STREAMS = 500, 200
NEEDED_P99_MS = 100.0
_SAMPLES, _SAMPLE_S = 40, 0.1  # of the connections in use
_PROJECT = "default"


def run(form: Form) -> None:
    """Measures on both databases."""
    from benchmarks.record import save

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    figures: dict[str, Any] = {
        "clients": CLIENTS,
        "every_s": EVERY_S,
        "seconds": form.pick(6, 30),
        "long_polls": LONG_POLLS,
        "streams": STREAMS,
        "needed_p99_ms": NEEDED_P99_MS,
        "databases": {},
    }
    for name, database in (("sqlite", _sqlite), ("postgresql", _postgresql)):
        with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
            url = stack.enter_context(database(Path(scratch)))
            measured = _measure(Path(scratch), url, figures["seconds"])
        figures["databases"][name] = measured
        print(f"{name}: {json.dumps(measured)}", flush=True)
    print(save("polling", __doc__ or "", figures, form))


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'catalogue.sqlite'}"


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    from tests.cluster.postgres import PostgresServer

    server = PostgresServer(folder / "postgres")
    server.start()
    try:
        yield server.url()
    finally:
        server.remove()


def _measure(folder: Path, catalogue_url: str, seconds: int) -> dict[str, Any]:
    from slicebank_store.catalogue import Catalogue
    from slicebank_store.notify import Notifier
    from tests.cluster.processes import ServerProcess, free_ports
    from tests.cluster.valkey import ValkeyServer

    key, port = secrets.token_hex(16), free_ports(1)[0]
    broker = ValkeyServer(folder / "broker")
    broker.start()
    catalogue = Catalogue.create_or_upgrade(catalogue_url)
    notifier = Notifier(broker.url())
    api = ServerProcess(
        [sys.executable, "-m", "slicebank_service", "--port", str(port)],
        folder / "api.log",
        SLICEBANK_DATA_DIR=str(folder),
        SLICEBANK_CATALOGUE_URL=catalogue_url,
        SLICEBANK_BROKER_URL=broker.url(),
        SLICEBANK_API_KEY=key,
    )
    try:
        queued, leases = _jobs(catalogue)
        api.start()
        asyncio.run(_until_ready(port, key))
        paths = [f"/v1/jobs/{job_id}" for job_id in [lease.job.job_id for lease in leases] + queued]
        asyncio.run(poll(port, key, paths, every_s=EVERY_S, for_s=2 * EVERY_S))  # fills pools and caches
        busy = _processor_seconds(api.pid)
        polled = asyncio.run(poll(port, key, paths, every_s=EVERY_S, for_s=seconds))
        share = (_processor_seconds(api.pid) - busy) / seconds
        waited = asyncio.run(_wait_together(port, key, catalogue, notifier, leases[0], folder / "api.log"))
    finally:
        api.end(signal.SIGTERM)
        notifier.close()
        catalogue.close()
        broker.kill()
    return {"polling": {**_times_ms(polled), "api_core_share": share}, "waiting": waited}


def _jobs(catalogue: Catalogue) -> tuple[list[str], list[Lease]]:
    """Jobs that stay queued, and the leases of those that run; nobody works here."""
    from slicebank_store.catalogue import NewJob
    from slicebank_store.types import JobKind

    made = [
        catalogue.jobs.create(NewJob(_PROJECT, JobKind.EMBED, series_uid=f"1.2.{number}", params={"retain": False}))
        for number in range(CLIENTS)
    ]
    leases = []
    for job in made[:RUNNING]:
        lease = catalogue.jobs.claim(job.job_id, worker="benchmark", lease_s=3600.0)
        assert lease is not None
        catalogue.jobs.heartbeat(lease, lease_s=3600.0, done=10, total=100, unit="slices")
        leases.append(lease)
    return [job.job_id for job in made[RUNNING:]], leases


async def _until_ready(port: int, key: str) -> None:
    deadline = time.monotonic() + 60.0
    while True:
        connection = KeptConnection(port, key)
        try:
            if (await connection.get("/ready"))[0] == 200:
                return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise RuntimeError("the API does not become ready")
        await asyncio.sleep(0.1)


async def _wait_together(
    port: int, key: str, catalogue: Catalogue, notifier: Notifier, lease: Lease, log: Path
) -> dict[str, Any]:
    """All wait for one job, which then ends as a worker ends it."""
    from slicebank_store.types import JobState

    job = lease.job
    told: list[float] = []
    errors: list[str] = []

    async def hear(ask: Callable[[KeptConnection], Any]) -> None:
        connection = KeptConnection(port, key)
        try:
            body = await ask(connection)
            told.append(time.perf_counter())
            if json.loads(body)["state"] != "succeeded":
                errors.append("told too early")
        except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
            errors.append(type(error).__name__)
        finally:
            connection.close()

    async def long_poll(connection: KeptConnection) -> bytes:
        return (await connection.get(f"/v1/jobs/{job.job_id}?wait=110"))[1]

    async def stream(connection: KeptConnection) -> bytes:
        return await connection.last_event(f"/v1/jobs/{job.job_id}/events")

    async with asyncio.TaskGroup() as group:
        for number in range(LONG_POLLS + STREAMS):
            group.create_task(hear(long_poll if number < LONG_POLLS else stream))
        scraper = KeptConnection(port, key)
        while (await _metrics(scraper))[:2] != (LONG_POLLS, STREAMS):
            await asyncio.sleep(0.2)
        held = []
        for _ in range(_SAMPLES):
            held.append((await _metrics(scraper))[2])
            await asyncio.sleep(_SAMPLE_S)
        scraper.close()

        def end() -> float:
            assert catalogue.jobs.succeed(lease, {})
            ended = time.perf_counter()
            notifier.publish(job.project, job.job_id, JobState.SUCCEEDED)
            return ended

        ended = await asyncio.to_thread(end)
    after = sorted(1000 * (moment - ended) for moment in told)
    return {
        "most_connections_in_use": max(held),
        "samples": len(held),
        "errors": len(errors),
        "told": len(told),
        "told_first_ms": after[0],
        "told_median_ms": statistics.median(after),
        "told_last_ms": after[-1],
    }


async def _metrics(connection: KeptConnection) -> tuple[int, int, int]:
    """Long-polls, event streams, database connections in use."""
    lines = (await connection.get("/metrics"))[1].decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    names = ("slicebank_long_polls", "slicebank_event_streams", "slicebank_catalogue_connections_in_use")
    polls, streams, connections = (int(float(values[name])) for name in names)
    return polls, streams, connections


def _times_ms(answers: Answers) -> dict[str, Any]:
    cuts = statistics.quantiles([1000 * seconds for seconds in answers.seconds], n=1000)
    return {
        "requests": len(answers.seconds),
        "errors": len(answers.errors),
        "p50_ms": cuts[499],
        "p99_ms": cuts[989],
        "worst_ms": 1000 * max(answers.seconds),
    }


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
