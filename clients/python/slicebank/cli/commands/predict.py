"""`slicebank predict`: ask a head about a series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slicebank.cli.command import command
from slicebank.cli.commands.predicted_cohort import figure_name, predict_cohort
from slicebank.cli.commands.predicted_files import PredictedFiles
from slicebank.cli.progress import JobsBar
from slicebank.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "predict")(predict)


def predict(
    session: Session,
    head: Annotated[str, typer.Argument(metavar="HEAD", help="Name of a head, or id of one version.")],
    series_uid: Annotated[
        str | None, typer.Argument(metavar="[SERIES_UID]", help="Series; or give --bag or --study.")
    ] = None,
    bag_id: Annotated[str | None, typer.Option("--bag", help="A bag instead of a series.")] = None,
    study_uid: Annotated[str | None, typer.Option("--study", help="A study instead of a series.")] = None,
    cohort: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Many: CSV whose first column is series_uid, study_uid or bag_id."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", dir_okay=False, help="With --cohort: where the answers are saved.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Save the attention over the slices as a PNG.")
    ] = None,
    report: Annotated[Path | None, typer.Option(dir_okay=False, help="Save everything as one HTML page.")] = None,
    sr: Annotated[Path | None, typer.Option(dir_okay=False, help="Save a DICOM structured report (TID 1500).")] = None,
    sc: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Save the attention as a DICOM secondary capture.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="DICOM file of the study whose patient --sr and --sc are for."),
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="PACS", help="Have both sent to a PACS that the server knows.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Slices with the most attention to print.")] = 5,
) -> None:
    """Ask a head about a series: probabilities, and the slices that drove them."""
    output = session.output
    if cohort is not None:
        if series_uid or bag_id or study_uid:
            raise typer.BadParameter("give a cohort or one series, bag or study", param_hint="--cohort")
        predict_cohort(session, head, cohort, table)
        return
    files = PredictedFiles(picture, report, sr, sc, like, push)
    files.check()
    bar = JobsBar(output, 1)
    with session.client() as client:
        with bar:
            answer = client.heads.predict(head, series_uid, bag_id=bag_id, study_uid=study_uid, on_progress=bar)
        told = files.save(client, answer.prediction_id)
    if output.as_json:
        output.json({**answer.raw, **told})
        return
    output.table(
        ("label", figure_name(answer.outputs), "sd over folds"),
        [(item.label, item.figure, item.fold_std) for item in answer.outputs],
        empty="The head gave no output.",
    )
    if answer.in_training:
        output.note(
            "[yellow]Warning:[/] the head has learnt from this patient; its answer shows nothing about new ones."
        )
    positions = {row.slice_index: row.z_mm for row in answer.attention}
    if top and answer.attention.slices:
        output.table(
            ("rank", "slice", "z mm", "attention", "SOP instance"),
            [
                (item.rank, item.slice_index, positions.get(item.slice_index), item.weight, item.sop_instance_uid)
                for item in answer.attention.top(top)
            ],
            empty="",
        )
    if picture is not None:
        whole = "" if answer.attention.slices else " (none: the encoder reads the scan as a whole)"
        output.say(f"Attention over the slices{whole}: {picture}")
    for sentence in files.sentences(told):
        output.say(sentence)
