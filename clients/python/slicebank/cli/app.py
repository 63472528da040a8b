"""The tree of commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from slicebank.cli.command import ApiKey, AsJson, DataDir, Timeout, Url
from slicebank.cli.commands import (
    bags,
    benchmark,
    cohort,
    demo,
    doctor,
    encoders,
    export,
    heads,
    imports,
    jobs,
    predict,
    series,
    upload,
    watch,
    workers,
)
from slicebank.cli.plugins import add_plugins
from slicebank.cli.session import GlobalOptions

HELP = """Turn CT studies into banks of per-slice embeddings, once, and answer questions from them.

Start a server with [bold]slicebank serve[/], send it CT with [bold]slicebank upload FOLDER[/], or see all of it at work
with [bold]slicebank demo[/].
"""


def build_app() -> typer.Typer:
    """Make the command line; plugins are listed without being imported."""
    app = typer.Typer(name="slicebank", help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
    app.callback()(_global_options)
    groups = {
        "series": (series.register, "CT series the server knows."),
        "cohort": (cohort.register, "Many cases as one: submit a table, follow, cancel, retry."),
        "imports": (imports.register, "Studies pulled from a PACS."),
        "sources": (imports.register_sources, "The PACS that the server knows."),
        "jobs": (jobs.register, "Work that is queued, running or done."),
        "bags": (bags.register, "Banks of embeddings."),
        "encoders": (encoders.register, "Encoders and the state of their weights."),
        "heads": (heads.register, "Heads: training, versions, metrics."),
        "workers": (workers.register, "Who is at work, and how busy."),
    }
    made: dict[str, typer.Typer] = {}
    for name, (register, text) in groups.items():
        made[name] = typer.Typer(help=text, no_args_is_help=True)
        register(made[name])
        app.add_typer(made[name], name=name)
    add_plugins(app, made)
    for register in (
        upload.register,
        watch.register,
        predict.register,
        export.register,
        benchmark.register,
        demo.register,
        doctor.register,
    ):
        register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slicebank {version('slicebank')}")
        raise typer.Exit


def _global_options(
    ctx: typer.Context,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version.", show_default=False
        ),
    ] = False,
) -> None:
    ctx.obj = GlobalOptions(url, api_key, data_dir, timeout, as_json)
