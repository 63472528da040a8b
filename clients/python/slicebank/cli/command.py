"""Registering commands: each gets a `Session`, the global options, and errors as sentences."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from slicebank.cli.output import Output, print_refused, print_refused_series
from slicebank.cli.session import GlobalOptions, Session
from slicebank.errors import ApiError, JobError, NothingUsable, SlicebankError, UploadInterrupted

PANEL = "Server and output"

Url = Annotated[str | None, typer.Option("--url", help="Address of the server.", rich_help_panel=PANEL)]
ApiKey = Annotated[str | None, typer.Option("--api-key", help="Key of the server.", rich_help_panel=PANEL)]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Data folder of a server on this machine.", rich_help_panel=PANEL),
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=0.1, help="Seconds to wait for an answer of the server.", rich_help_panel=PANEL),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout, for scripts.", show_default=False, rich_help_panel=PANEL)
]

_GLOBALS: dict[str, tuple[Any, Any]] = {
    "url": (Url, None),
    "api_key": (ApiKey, None),
    "data_dir": (DataDir, None),
    "timeout": (Timeout, None),
    "as_json": (AsJson, False),
}

CommandFunction = Callable[..., None]


def command(app: typer.Typer, name: str) -> Callable[[CommandFunction], CommandFunction]:
    """Register a function whose first parameter is the `Session`; its other parameters are the command's own."""

    def register(function: CommandFunction) -> CommandFunction:
        app.command(name)(_with_session(function))
        return function

    return register


def _with_session(function: CommandFunction) -> CommandFunction:
    hints = get_type_hints(function, include_extras=True)
    _, *own = inspect.signature(function).parameters.values()

    @functools.wraps(function)
    def run(ctx: typer.Context, **values: Any) -> None:
        here = GlobalOptions(**{name: values.pop(name) for name in _GLOBALS})
        outer = ctx.find_root().obj
        session = Session(here.over(outer if isinstance(outer, GlobalOptions) else GlobalOptions()))
        try:
            function(session, **values)
        except SlicebankError as error:
            report(session.output, error)
            raise typer.Exit(1) from error

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("ctx", keyword, annotation=typer.Context)]
    parameters += [item.replace(kind=keyword, annotation=hints[item.name]) for item in own]
    parameters += [
        inspect.Parameter(name, keyword, default=default, annotation=hint) for name, (hint, default) in _GLOBALS.items()
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    return run


def report(output: Output, error: SlicebankError) -> None:
    """Tell an error to a person and, with `--json`, to a script."""
    extra: dict[str, Any] = {}
    detail = error.detail
    if isinstance(error, ApiError):
        extra = {"status": error.status, "request_id": error.request_id}
        if error.status >= 500 and error.request_id:
            detail = f"{detail} (request {error.request_id})"
    if isinstance(error, NothingUsable):
        extra["rejected"] = error.rejected
        extra["refused_series"] = error.refused_series
    if isinstance(error, JobError):
        extra["job"] = error.job
    if isinstance(error, UploadInterrupted):
        extra["done"] = {"series": error.done.series, "rejected": error.done.rejected}
    hint = error.hint.replace("JOB_ID", error.job.job_id) if isinstance(error, JobError) else error.hint
    output.fail(detail, hint=hint, code=error.code, extra=extra)
    if isinstance(error, NothingUsable) and not output.as_json:
        print_refused_series(output, error.refused_series)
        print_refused(output, error.rejected)
