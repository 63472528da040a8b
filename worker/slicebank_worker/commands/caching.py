"""`slicebank pretrain cache`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicebank_worker.commands.options import refusals_said

if TYPE_CHECKING:
    from rich.console import Console

    from slicebank_models.pretraining.slice_cache import CacheReport, SliceCache
    from slicebank_worker.pretraining.recognising import SourceOptions

# Enough to see what went wrong; the cache's folder has all of them.
_SHOWN = 10

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="DeepLesion's folder, folders or archives of DICOM, a folder of NIfTI volumes and masks, store:DATA_DIR, or "
        "phantoms:COUNT. Where a folder is taken for the wrong kind: dicom:PATH, nifti:PATH or deeplesion:PATH.",
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Boxes for DICOM and stores: sop_instance_uid (or series_uid and instance_number, or file), x_min, y_min, x_max, "
        "y_max; optionally label, patient, frame.",
        show_default=False,
    ),
]
Side = Annotated[int, typer.Option(help="Rows and columns of the cached slices; 2 * side^2 bytes each.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Decoding threads.", show_default="one a core")]
Splits = Annotated[
    str, typer.Option(metavar="PARTS", help="Official parts of DeepLesion to take: train, val, test, with commas.")
]
MaskValues = Annotated[
    str,
    typer.Option(
        metavar="VALUES", help="Values of NIfTI masks that are lesions, with commas.", show_default="all but 0"
    ),
]
Project = Annotated[str, typer.Option(help="Project of a store.")]
AssumeRescale = Annotated[
    str | None,
    typer.Option(metavar="SLOPE,INTERCEPT", help="For CT files that lack them, such as 1,-1024.", show_default=False),
]
Force = Annotated[
    str | None,
    typer.Option(metavar="not_hu", help="Take volumes that are not in Hounsfield units.", show_default=False),
]


def cache(
    sources: Sources,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder of the cache; must not be there yet.")],
    boxes: Boxes = None,
    side: Side = 512,
    workers: Workers = None,
    splits: Splits = "train",
    mask_values: MaskValues = "",
    project: Project = "default",
    assume_rescale: AssumeRescale = None,
    force: Force = None,
) -> None:
    """Decode the slices of data sets, folders and stores once, with their lesion boxes, into a cache to pre-train on."""
    from rich.console import Console

    console = Console(highlight=False)
    with refusals_said(console):
        options = source_options(
            boxes=boxes,
            workers=workers,
            splits=splits,
            mask_values=mask_values,
            project=project,
            assume_rescale=assume_rescale,
            force=force,
        )
        made, report = make_with_progress(console, sources, out, options, side)
    print_cache(console, made, report)


def source_options(
    *,
    boxes: Path | None = None,
    workers: int | None = None,
    splits: str = "train",
    mask_values: str = "",
    project: str = "default",
    assume_rescale: str | None = None,
    force: str | None = None,
) -> SourceOptions:
    """Options of the command line as those of sources.

    Raises:
        BadPretrainingSetting: A part of DeepLesion or a mask's value is none.
        BadOption: An import option has another form.
    """
    from slicebank_imaging.options import ImportOptions
    from slicebank_models.errors import BadPretrainingSetting
    from slicebank_worker.pretraining.decoding import default_workers
    from slicebank_worker.pretraining.deeplesion import Split
    from slicebank_worker.pretraining.recognising import SourceOptions

    try:
        parts = tuple(Split(part.strip()) for part in splits.split(","))
    except ValueError:
        raise BadPretrainingSetting(f"--splits must be of {', '.join(Split)}, not {splits!r:.60}.") from None
    try:
        values = tuple(int(value) for value in mask_values.split(",") if value.strip())
    except ValueError:
        raise BadPretrainingSetting(f"--mask-values must be whole numbers, not {mask_values!r:.60}.") from None
    return SourceOptions(
        boxes=boxes,
        splits=parts,
        mask_values=values,
        project=project,
        imports=ImportOptions.parse(assume_rescale, force),
        workers=workers or default_workers(),
    )


def make_with_progress(
    console: Console, sources: Sequence[str], folder: Path, options: SourceOptions, side: int
) -> tuple[SliceCache, CacheReport | None]:
    """As `open_or_make_cache`, with a bar for every source."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from slicebank_worker.pretraining.caching import open_or_make_cache

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[int, TaskID] = {}

        def advance(number: int, name: str, done: int, total: int) -> None:
            if number not in tasks:
                tasks[number] = bars.add_task(name, total=total)
            bars.update(tasks[number], completed=done, total=total)

        return open_or_make_cache(sources, folder, options=options, side=side, progress=advance)


def print_cache(console: Console, made: SliceCache, report: CacheReport | None) -> None:
    """Tells what a cache holds, and, of a new one, what was left out."""
    if report is None:
        console.print(f"{made.folder} is there already and made of these sources.", markup=False, soft_wrap=True)
    record = made.record
    for source in record["sources"]:
        console.print(_counts(source["name"], source), markup=False, soft_wrap=True)
    if len(record["sources"]) > 1:
        console.print(_counts("together", record), markup=False, soft_wrap=True)
    if record["labels"]:
        labels = ", ".join(f"{name} {count:,}" for name, count in record["labels"].items())
        console.print(f"Labelled slices: {labels}.", markup=False, soft_wrap=True)
    if not record["boxes"]:
        console.print("No slice has a lesion box: LECL trains as MoCo v3 does then.", style="yellow")
    if report is not None and report.left_out:
        console.print(f"Left out, {len(report.left_out):,} things:")
        for sentence in report.left_out[:_SHOWN]:
            console.print(f"  {sentence}", markup=False, soft_wrap=True)
        if len(report.left_out) > _SHOWN:
            console.print(f"  ... and more, in {made.folder / 'left_out.txt'}", markup=False, soft_wrap=True)
    size = len(made) * made.side**2 * 2
    console.print(
        f"Cache {made.folder}: {len(made):,} slices of {made.side} x {made.side}, {size / 1e9:.2f} GB.",
        markup=False,
        soft_wrap=True,
    )


def _counts(name: str, counts: dict[str, int]) -> str:
    return (
        f"{name}: {counts['patients']:,} patients, {counts['series']:,} series, {counts['slices']:,} slices, "
        f"{counts['annotated']:,} of them with {counts['boxes']:,} lesion boxes."
    )
