"""`slicebank heads rollback`, `compare`, `evaluate`, `evaluations` and `on-embedded`: what is done with trained heads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from slicebank.cli.command import command
from slicebank.cli.commands.metrics_phrase import metrics_phrase
from slicebank.cli.progress import JobsBar
from slicebank.cli.session import Session
from slicebank.errors import InputError
from slicebank.records import Evaluation

_SMALL = 0.001  # below it three places show nothing

_HeadName = Annotated[str, typer.Argument(metavar="HEAD", help="Name of a head, or id of one version.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "rollback")(rollback)
    command(app, "compare")(compare)
    command(app, "evaluate")(evaluate)
    command(app, "evaluations")(evaluations)
    command(app, "on-embedded")(on_embedded)


def rollback(session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a head.")]) -> None:
    """Make a name mean the version that it meant before."""
    with session.client() as client:
        head = client.heads.rollback(name)
    if session.output.as_json:
        session.output.json(head)
    session.output.say(f"{head.name} now means version {head.version} again, {head.head_id}.")


def compare(
    session: Session,
    head: _HeadName,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The head to compare it with.")],
    test: Annotated[
        bool, typer.Option("--test", help="Of the test part, not out-of-fold predictions.", show_default=False)
    ] = False,
) -> None:
    """Compare two heads on the cases that both measured."""
    output = session.output
    with session.client() as client:
        found = client.heads.compare(head, other, part="test" if test else "pooled")
    if output.as_json:
        output.json(found)
        return
    output.table(
        ("figure", head, other, "difference", "95 %", "p"),
        [
            (
                name,
                _short(about.get("first")),
                _short(about.get("second")),
                _short(about.get("difference")),
                " to ".join(_short(end) for end in about.get("interval") or ()),
                _short(about.get("p_value")),
            )
            for name, about in found.metrics.items()
        ],
        empty="Nothing was measured.",
    )
    output.note(f"{found.n_units} cases of {found.n_patients} patients, measured by both.")


def evaluate(
    session: Session,
    head: _HeadName,
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS.csv", help="As for training, with the head's labels.", exists=True)
    ],
    name: Annotated[str, typer.Option(help="What you call the cohort.")] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse rows without a bag or a label.", show_default=False)
    ] = False,
    keep_learnt: Annotated[
        bool,
        typer.Option("--keep-learnt", help="Measure patients that the head has learnt from too.", show_default=False),
    ] = False,
) -> None:
    """Measure a head on a cohort that it has not learnt from."""
    output = session.output
    with session.client() as client:
        started = client.heads.evaluate(head, labels, name=name, strict=strict, keep_learnt=keep_learnt)
        for warning in started.warnings:
            output.note(f"[yellow]Warning:[/] {escape(warning)}")
        if started.unmatched:
            output.note(f"{len(started.unmatched)} rows have no bag and are left out.")
        bar = JobsBar(output, 1)
        with bar:
            client.jobs.wait(started.job_id, on_progress=bar)
        found = client.heads.evaluation(started.evaluation_id)
    if output.as_json:
        output.json(found)
        return
    output.fields(
        {
            "evaluation": found.evaluation_id,
            "cohort": found.name or None,
            "cases": found.n_cases,
            "figures": metrics_phrase({"mean": found.metrics}),
            "95 %": _intervals(found),
        }
    )


def evaluations(session: Session, head: _HeadName) -> None:
    """List the cohorts that a head was measured on."""
    with session.client() as client:
        found = list(client.heads.evaluations(head))
    if session.output.as_json:
        session.output.json({"items": found})
        return
    session.output.table(
        ("evaluation", "cohort", "state", "cases", "figures", "created"),
        [
            (
                item.evaluation_id,
                item.name,
                item.state,
                item.n_cases,
                metrics_phrase({"mean": item.metrics}),
                item.created_at,
            )
            for item in found
        ],
        empty="It was not measured on another cohort yet; `slicebank heads evaluate` does that.",
    )


def on_embedded(
    session: Session,
    heads: Annotated[list[str] | None, typer.Argument(metavar="[HEAD]...", help="Names or ids.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Ask no head any more.", show_default=False)] = False,
) -> None:
    """Show the heads that answer about every new bag of their recipe, or name them anew."""
    if heads and none:
        raise InputError("Heads and --none exclude each other.", hint="Give one of the two.")
    with session.client() as client:
        named = client.heads.set_on_embedded(heads or ()) if heads or none else client.heads.on_embedded()
    if session.output.as_json:
        session.output.json({"heads": list(named)})
        return
    session.output.say(", ".join(named) or "No head is asked about new bags; name some.")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if abs(value) >= _SMALL or value == 0 else f"{value:.1g}"


def _intervals(found: Evaluation) -> str | None:
    intervals = found.metrics.get("intervals") or {}
    shown = [
        f"{name.upper()} {pair[0]:.3f} to {pair[1]:.3f}"
        for name, pair in intervals.items()
        if name in ("auroc", "c_index", "mae") and isinstance(pair, list) and None not in pair
    ]
    return ", ".join(shown) or None
