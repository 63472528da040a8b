"""Tables of the benchmarks that run a whole deployment."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.page.tables import Figures, number, table


def scaling(figures: Figures) -> str:
    """Rows a second over the number of workers."""
    most = figures["most_rows_per_s_of_one"]
    rows = table(
        ("workers", "rows/s", "times one worker's", "of what the encoder allows"),
        (
            [
                str(point["workers"]),
                number(point["rows_per_s"], 1),
                number(point["of_one_worker"]),
                number(point["rows_per_s"] / (most * point["workers"])),
            ]
            for point in figures["points"]
        ),
    )
    return f"{rows}\n\nEncoder `{figures['encoder']}`, {figures['series']} series of {figures['slices_per_series']} slices; asked: {figures['needed']:g} times at 4 workers."


_DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def catalogue_size(figures: Figures) -> str:
    """Times of every question over the size of the catalogue, on both databases."""
    columns = [(name, point) for name, points in figures["databases"].items() for point in points]
    header = [f"{_DATABASES[name]}, {point['series']:,} series" for name, point in columns]
    questions = [
        [question, *(_times(point["questions"][question]) for _, point in columns)]
        for question in columns[0][1]["questions"]
    ]
    sizes = ["*tables and indexes, MB*", *(number(point["size_bytes"] / 1e6, 0) for _, point in columns)]
    needed = " and ".join(f"{limit:g} ms on {_DATABASES[name]}" for name, limit in figures["needed_p95_ms"].items())
    return (
        f"{table(('p50 / p95, ms', *header), [*questions, sizes])}\n\n"
        f"{figures['repeats']} times each, in the quietest of {figures['rounds']} rounds; pages of {figures['limit']}; asked: p95 below {needed}."
    )


def _times(asked: Figures) -> str:
    return f"{number(asked['p50_ms'], 1)} / {number(asked['p95_ms'], 1)}"


def polling(figures: Figures) -> str:
    """What clients that poll, and clients that wait, see of one API process."""
    databases = figures["databases"]
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("requests", lambda f: f"{f['polling']['requests']:,}"),
        ("errors", lambda f: str(f["polling"]["errors"])),
        ("p50, ms", lambda f: number(f["polling"]["p50_ms"], 1)),
        ("p99, ms", lambda f: number(f["polling"]["p99_ms"], 1)),
        ("slowest, ms", lambda f: number(f["polling"]["worst_ms"], 1)),
        ("cores the API used", lambda f: number(f["polling"]["api_core_share"])),
        ("*waiting:* most database connections in use", lambda f: str(f["waiting"]["most_connections_in_use"])),
        ("*waiting:* clients told, errors", lambda f: f"{f['waiting']['told']}, {f['waiting']['errors']}"),
        ("*waiting:* first / median / last told after the end, ms", _told),
    ]
    body = [[label, *(cell(measured) for measured in databases.values())] for label, cell in rows]
    return (
        f"{table(('', *(_DATABASES[name] for name in databases)), body)}\n\n"
        f"{figures['clients']} clients, each every {figures['every_s']:g} s for {figures['seconds']} s; then {figures['long_polls']} long-polls and "
        f"{figures['streams']} event streams; asked: p99 below {figures['needed_p99_ms']:g} ms, no errors, no connection held."
    )


def _told(figures: Figures) -> str:
    waiting = figures["waiting"]
    return " / ".join(number(waiting[f"told_{which}_ms"], 0) for which in ("first", "median", "last"))


_BODIES = {"stored_zip": "zip, members stored", "deflated_zip": "zip, members deflated", "tar": "tar"}


def intake(figures: Figures) -> str:
    """Speed of taking in over that of a copy with its SHA-256."""
    rows = table(
        ("body", "MB", "taking in", "web server alone", "copy without SHA-256"),
        (
            [
                _BODIES[name],
                number(body["bytes"] / 1e6, 0),
                number(body["share_of_copy_and_sha256"]),
                number(body["web_server_alone"]),
                number(body["share_of_copy_and_sha256"] / body["share_of_copy"]),
            ]
            for name, body in figures["bodies"].items()
        ),
    )
    return (
        f"{rows}\n\nSpeeds as a share of that of a copy of the body with its SHA-256, {figures['slices']} slices; "
        f"asked of taking in: {figures['needed']:g}."
    )
