"""`slicebank doctor`: what is well with this installation, and what to do about the rest."""

from __future__ import annotations

import typer

from slicebank.cli.command import command
from slicebank.cli.session import Session

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor")(doctor)


def doctor(session: Session) -> None:
    """Check Python, packages, data folder, server, device and encoders; exit status 1 when something fails."""
    from slicebank.doctor import State, examine

    findings = []
    for finding in examine(session.options.url, session.options.api_key, session.options.data_dir):
        findings.append(finding)
        if not session.output.as_json:
            style = STYLES[finding.state]
            session.output.out.print(f"[{style}]{finding.state:4}[/] [bold]{finding.name}[/]: ", end="")
            session.output.out.print(finding.detail, markup=False, soft_wrap=True)
            if finding.advice:
                session.output.out.print(f"     {finding.advice}", markup=False, soft_wrap=True)
    if session.output.as_json:
        session.output.json({"items": findings})
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)
