"""`slicebank heads`: train, list, show, delete, promote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from slicebank.cli.command import command
from slicebank.cli.commands import head_reports
from slicebank.cli.commands.series import Limit
from slicebank.cli.progress import JobsBar
from slicebank.cli.session import Session
from slicebank.records import Head, Task

HeadName = Annotated[str, typer.Argument(metavar="HEAD", help="Name of a head, or id of one version.")]
METRICS_SHOWN = ("auroc", "auprc", "f1")


class TaskKind(StrEnum):
    """Kinds of question a head answers."""

    BINARY = "binary"
    MULTILABEL = "multilabel"
    MULTICLASS = "multiclass"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "train")(train)
    command(app, "list")(list_heads)
    command(app, "show")(show)
    command(app, "delete")(delete)
    command(app, "promote")(promote)
    head_reports.register(app)


def train(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Groups the versions of this head.")],
    labels: Annotated[
        Path,
        typer.Argument(metavar="LABELS.csv", help="First column series_uid, study_uid or patient.", exists=True),
    ],
    encoder: Annotated[
        str | None, typer.Option(help="Encoder whose bags are read; the server's default otherwise.")
    ] = None,
    kind: Annotated[TaskKind, typer.Option("--task", help="Kind of question.")] = TaskKind.BINARY,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Label to learn, or class of a multiclass task; again for several. Else every column."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Training number, such as --set folds=3; again for several."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse rows without a bag.", show_default=False)] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is trained.")] = True,
) -> None:
    """Train a head on stored bags: the published protocol, every number settable."""
    output = session.output
    with session.client() as client:
        started = client.heads.train(
            name, encoder, Task(kind.value, tuple(label or ())), labels, _settings(settings or []), strict=strict
        )
        for warning in started.warnings:
            output.note(f"[yellow]Warning:[/] {escape(warning)}")
        if started.unmatched:
            shown = ", ".join(started.unmatched[:3])
            output.note(f"{len(started.unmatched)} rows have no bag and are left out ({escape(shown)}, ...).")
        if wait:
            bar = JobsBar(output, 1)
            with bar:
                client.jobs.wait(started.job_id, on_progress=bar)
            _print_head(session, client.heads.get(started.head_id), said=started.warnings)
        elif output.as_json:
            output.json(started)
        else:
            output.say(f"Job {started.job_id} trains head {started.head_id}.")


def list_heads(session: Session, limit: Limit = 100) -> None:
    """List the heads with their metrics."""
    with session.client() as client:
        found = list(client.heads.list(limit=limit))
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("name", "head", "task", "encoder", "metrics", "created"),
        [
            (
                f"{head.name} *" if head.promoted else head.name,
                head.head_id,
                f"{head.task.kind}: {', '.join(head.task.labels)}",
                head.encoder,
                metrics_phrase(head.metrics),
                head.created_at,
            )
            for head in found
        ],
        empty="There are no heads yet; `slicebank heads train` makes one.",
    )


def show(session: Session, head: HeadName) -> None:
    """Show one head: task, training, metrics, versions."""
    with session.client() as client:
        _print_head(session, client.heads.get(head))


def delete(
    session: Session,
    head: HeadName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)] = False,
) -> None:
    """Remove a head."""
    if not yes and not session.output.as_json:
        typer.confirm(f"Remove head {head}?", abort=True)
    with session.client() as client:
        client.heads.delete(head)
    if session.output.as_json:
        session.output.json({"deleted": head})
    session.output.say(f"Head {head} is removed.")


def promote(session: Session, head_id: Annotated[str, typer.Argument(metavar="HEAD_ID", help="Version.")]) -> None:
    """Make a version the one its name stands for."""
    with session.client() as client:
        head = client.heads.promote(head_id)
    if session.output.as_json:
        session.output.json(head)
    session.output.say(f"{head.name} now means {head.head_id}.")


def metrics_phrase(metrics: Mapping[str, Any]) -> str:
    """AUROC, AUPRC and F1 as mean and standard deviation over the folds, as far as they are known."""
    mean, spread = metrics.get("mean"), metrics.get("sd")
    if not isinstance(mean, Mapping):
        return ""
    parts = []
    for name in METRICS_SHOWN:
        value = mean.get(name)
        if isinstance(value, (int, float)):
            deviation = spread.get(name) if isinstance(spread, Mapping) else None
            parts.append(f"{name.upper()} {value:.3f}" + (f" ± {deviation:.3f}" if deviation is not None else ""))
    return ", ".join(parts)


def _print_head(session: Session, head: Head, *, said: Sequence[str] = ()) -> None:
    """Prints a head; of the warnings of its report those that were not said yet."""
    if session.output.as_json:
        session.output.json(head)
        return
    session.output.fields(
        {
            "name": head.name,
            "head": head.head_id,
            "promoted": head.promoted,
            "state": head.state,
            "task": f"{head.task.kind}: {', '.join(head.task.labels)}",
            "encoder": head.encoder,
            "cases": head.n_cases or None,
            "training": head.training,
            "over folds": metrics_phrase(head.metrics),
            "test": metrics_phrase({"mean": head.metrics.get("test")}),
            "versions": len(head.versions) or None,
            "training data deleted": head.training_data_deleted or None,
            "created": head.created_at,
        }
    )
    for warning in head.metrics.get("warnings") or ():
        if warning not in said:
            session.output.note(f"[yellow]Warning:[/] {escape(str(warning))}")


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Numbers as numbers, lists as JSON, anything else as text."""
    chosen: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--set")
        try:
            chosen[key] = json.loads(value)
        except ValueError:
            chosen[key] = value
    return chosen
