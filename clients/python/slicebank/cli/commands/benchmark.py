"""`slicebank benchmark`: several encoders on one task, with the paper's tables and figures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from slicebank.cli.command import command
from slicebank.cli.output import Output
from slicebank.cli.progress import job_phrase
from slicebank.cli.session import Session
from slicebank.errors import InputError, MissingExtra
from slicebank.records import Encoder, Job

if TYPE_CHECKING:
    from slicebank.benchmark.task_file import BenchmarkTask

NEEDED = ("numpy", "pydicom", "PIL", "matplotlib")


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "benchmark")(benchmark)


def benchmark(
    session: Session,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help="A task that ships, or a file TASK.toml.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of the data set.", show_default=False)
    ] = None,
    encoders: Annotated[
        str,
        typer.Option(
            "--encoders",
            metavar="ID[=TITLE],...",
            help="Encoders with commas between them, and what tables shall call them.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", file_okay=False, help="Folder of tables and figures; a second run goes on."
        ),
    ] = Path("benchmark"),
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="CSV", help="Labels of your own cohort.", dir_okay=False, show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take the first cases only, for trying.", show_default=False)
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="DIR",
            file_okay=False,
            exists=True,
            help="Where volumes are made for sending, one at a time.",
        ),
    ] = None,
    list_tasks: Annotated[bool, typer.Option("--list", help="List the tasks that ship.", show_default=False)] = False,
    show: Annotated[
        str | None,
        typer.Option("--show", metavar="TASK", help="Print the file of a task that ships.", show_default=False),
    ] = None,
) -> None:
    """Compare encoders on a task: embed what is missing, train a head each, and write the paper's tables and figures."""
    from slicebank.benchmark.task_file import read_task, shipped_tasks, task_text

    output = session.output
    if show is not None:
        typer.echo(task_text(show), nl=False)
        return
    if list_tasks:
        _print_tasks(output, [read_task(task_text(name)) for name in shipped_tasks()])
        return
    if task is None:
        raise InputError("Name a task.", hint="`slicebank benchmark --list` lists those that ship.")
    for package in NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("`slicebank benchmark`", extra="service", missing=package)
    from slicebank.benchmark.datasets import open_dataset
    from slicebank.benchmark.page import PAGE
    from slicebank.benchmark.running import run_benchmark

    text = task_text(task)
    asked = read_task(text)
    chosen = _encoders(encoders)
    dataset = open_dataset(asked, data, labels)
    with session.client() as client, _Progress(output) as teller:
        run = run_benchmark(
            client,
            asked,
            dataset,
            chosen,
            out.expanduser(),
            teller,
            task_text=text,
            limit=limit,
            scratch=scratch,
        )
    if output.as_json:
        output.json(
            {
                **run.result.as_dict(),
                "sent": run.sent,
                "trained": run.trained,
                "failed_cases": dict(run.failed_cases),
                "page": str(out / PAGE),
            }
        )
    else:
        _print_result(output, out / PAGE, run.result.name)
        output.say(
            f"{run.sent} uploads, {run.trained} heads trained, the rest was there. Page: {escape(str(out / PAGE))}"
        )
    for name, why in [*run.failed_cases.items(), *run.result.failed.items()]:
        output.note(f"[yellow]{escape(name)}:[/] {escape(why)}")
    if not run.complete:
        raise typer.Exit(1)


def _encoders(text: str) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for part in text.split(","):
        encoder, _, title = part.partition("=")
        if encoder.strip():
            chosen[encoder.strip()] = title.strip() or encoder.strip()
    if not chosen:
        raise InputError("Name encoders with --encoders ID,ID.", hint="`slicebank encoders list` says which there are.")
    return chosen


def _print_tasks(output: Output, tasks: list[BenchmarkTask]) -> None:
    if output.as_json:
        output.json({"items": [{"name": task.name, "title": task.title, "dataset": task.dataset} for task in tasks]})
        return
    output.table(
        ("task", "table", "data set", "about", "labels", "windows"),
        [
            (task.name, task.table, task.dataset, task.title, ", ".join(task.labels), ", ".join(task.windows))
            for task in tasks
        ],
        spare=("labels",),
        empty="There are none.",
    )


def _print_result(output: Output, page: Path, task: str) -> None:
    table = page.parent / task / "table.md"
    output.say(escape(table.read_text(encoding="utf-8").rstrip()))


class _Progress:
    """A bar for cases and one for the training; sentences where bars are not drawn."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=output.err,
            disable=not output.shows_progress,
        )
        self._cases = self._bars.add_task("Embedding", total=None, count="")
        self._training = self._bars.add_task("Training", total=None, count="", visible=False)

    def __enter__(self) -> _Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """One sentence."""
        self._output.note(escape(text))

    def case(self, done: int, total: int, name: str) -> None:
        """Cases embedded."""
        self._bars.update(self._cases, completed=done, total=total, count=f"{done}/{total} {name[-32:]}")

    def job(self, encoder: Encoder, job: Job) -> None:
        """A training goes on."""
        self._bars.update(
            self._training,
            visible=True,
            description=f"Training on {encoder.id}",
            completed=job.progress.done,
            total=job.progress.total or None,
            count=job_phrase(job),
        )
