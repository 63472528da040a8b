"""`slicebank heads`: train, list, show, delete, promote; what else there is stands in files of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from slicebank.cli.command import command
from slicebank.cli.commands import head_reports, head_serving
from slicebank.cli.commands.metrics_phrase import metrics_phrase
from slicebank.cli.commands.series import Limit
from slicebank.cli.progress import JobsBar
from slicebank.cli.session import Session
from slicebank.records import Head, Task

HeadName = Annotated[str, typer.Argument(metavar="HEAD", help="Name of a head, or id of one version.")]


class TaskKind(StrEnum):
    """Kinds of question a head answers."""

    BINARY = "binary"
    MULTILABEL = "multilabel"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    SURVIVAL = "survival"


class Architecture(StrEnum):
    """How rows become an answer."""

    ABMIL = "abmil"
    GATED_ABMIL = "gated_abmil"
    MULTIBRANCH_ABMIL = "multibranch_abmil"
    CLAM_SB = "clam_sb"
    CLAM_MB = "clam_mb"
    TRANSMIL = "transmil"
    MEAN = "mean"
    MAX = "max"
    LINEAR = "linear"
    MLP = "mlp"


class Pooling(StrEnum):
    """What several series of a study or a patient become."""

    LARGEST = "largest"
    MEAN = "mean"
    ONE_BAG = "one_bag"


class Calibration(StrEnum):
    """What makes served probabilities rates."""

    NONE = "none"
    TEMPERATURE = "temperature"
    PLATT = "platt"
    ISOTONIC = "isotonic"


TRAINING_KEYS = (
    "lr, weight_decay, batch_size, max_epochs, patience, folds, test_fraction, max_rows, windows, class_weights, seed; "
    "again for several"
)
HEAD_KEYS = "width, dropout, instances, instance_weight; again for several"
PROTOCOL_KEYS = "validation (cross_validation or nested), repeats, stratify, bootstrap; again for several"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "train")(train)
    command(app, "list")(list_heads)
    command(app, "show")(show)
    command(app, "delete")(delete)
    command(app, "promote")(promote)
    head_reports.register(app)
    head_serving.register(app)


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
        typer.Option("--set", metavar="KEY=VALUE", help=f"Of the training, such as --set folds=3: {TRAINING_KEYS}."),
    ] = None,
    architecture: Annotated[
        Architecture | None, typer.Option(help="How rows become an answer; the published head otherwise.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="KEY=VALUE", help=f"Of the head, such as --head width=128: {HEAD_KEYS}."),
    ] = None,
    pooling: Annotated[Pooling | None, typer.Option(help="What several series of a study or a patient become.")] = None,
    calibration: Annotated[Calibration | None, typer.Option(help="Of the served probabilities.")] = None,
    sites: Annotated[
        str | None,
        typer.Option("--sites", metavar="COLUMN", help="Column of sites, whose patients stay on one side of a split."),
    ] = None,
    splits: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="splits.json to use, ours or STAMP's.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol", metavar="KEY=VALUE", help=f"How it is judged, such as --protocol repeats=3: {PROTOCOL_KEYS}."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse rows without a bag.", show_default=False)] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is trained.")] = True,
) -> None:
    """Train a head on stored bags: the published protocol, every number settable."""
    output = session.output
    with session.client() as client:
        started = client.heads.train(
            name,
            encoder,
            Task(kind.value, tuple(label or ())),
            labels,
            key_values(settings, "--set"),
            head=key_values(head, "--head") | ({} if architecture is None else {"architecture": architecture.value}),
            protocol=key_values(protocol, "--protocol") | _protocol(pooling, calibration, sites, splits),
            strict=strict,
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
            "architecture": head.head.get("architecture"),
            "protocol": head.protocol or None,
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


def _protocol(
    pooling: Pooling | None, calibration: Calibration | None, sites: str | None, splits: Path | None
) -> dict[str, Any]:
    """What the options with names of their own say."""
    chosen: dict[str, Any] = {}
    if pooling is not None:
        chosen["pooling"] = pooling.value
    if calibration is not None:
        chosen["calibration"] = calibration.value
    if sites is not None:
        chosen |= {"site_column": sites, "preserve_sites": True}
    if splits is not None:
        try:
            chosen["splits"] = json.loads(splits.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise typer.BadParameter(f"{splits} is not JSON", param_hint="--splits") from error
    return chosen


def key_values(pairs: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Numbers as numbers, lists as JSON, anything else as text."""
    chosen: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint=option)
        try:
            chosen[key] = json.loads(value)
        except ValueError:
            chosen[key] = value
    return chosen
