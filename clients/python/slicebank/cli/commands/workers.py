"""`slicebank workers`: list."""

from __future__ import annotations

import typer

from slicebank.cli.command import command
from slicebank.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_workers)


def list_workers(session: Session) -> None:
    """List the living workers: device, jobs in hand, rows a second, how busy, and what bounds them."""
    with session.client() as client:
        found = list(client.workers.list())
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("role", "name", "device", "jobs", "rows/s", "busy %", "bound by", "seen"),
        [
            (
                worker.role,
                worker.name,
                worker.device or "",
                worker.jobs,
                _rate(worker.rows_per_second),
                None if worker.utilisation is None else round(100 * worker.utilisation),
                worker.bound_by or "",
                worker.seen_at,
            )
            for worker in found
        ],
        empty="No worker is running; start one with `slicebank serve`.",
    )


def _rate(rows_per_second: float) -> float:
    """Whole rows where there are many: a cell writes a large float with an exponent."""
    return round(rows_per_second) if rows_per_second >= 100 else rows_per_second
