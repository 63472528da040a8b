"""`slicebank pretrain ablate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicebank_worker.commands.caching import Boxes, Side, Sources
from slicebank_worker.commands.options import refusals_said
from slicebank_worker.commands.pretraining import Overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from slicebank_models.pretraining.ablation import AblationResult
    from slicebank_models.pretraining.ablation_plan import AblationPlan, AblationRun
    from slicebank_models.pretraining.slice_cache import SliceCache


def ablate(
    sources: Sources,
    out: Annotated[
        Path,
        typer.Option("--out", file_okay=False, help="Folder of the ablation; runs that it holds are not done again."),
    ],
    architectures: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Architectures, with commas between them.", show_default="that of the settings"
        ),
    ] = None,
    lesion_weights: Annotated[
        str, typer.Option(metavar="LAMBDAS", help="Lesion weights of LECL, with commas between them.")
    ] = "0,1,3,5",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant; seeds count up from run.seed.")] = 1,
    settings: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE.toml",
            help="Settings that all runs share; `slicebank pretrain settings` prints such a file.",
            show_default="the paper's",
        ),
    ] = None,
    overrides: Overrides = None,
    boxes: Boxes = None,
    side: Side = 512,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Pre-train by MoCo v3 and by LECL at several lesion weights, and compare the encoders on held-out patients.

    Writes ablation.csv, ablation.md and figure2.svg, the paper's Figure 2 for these slices. Interrupted, the same command goes on.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from rich.console import Console

    console = Console(highlight=False)
    with refusals_said(console):
        plan = _plan(settings, overrides or [], architectures, lesion_weights, seeds)
        cache = _cache(console, sources, out, boxes, side)
        results, done = _run(console, cache, plan, out, device)
        if results:
            _show(console, results, out)
    if not done:
        console.print("Stopped before the last run. The same command goes on from here.", style="yellow")
        raise typer.Exit(1)


def _plan(
    settings: Path | None, overrides: list[str], architectures: str | None, lesion_weights: str, seeds: int
) -> AblationPlan:
    from slicebank_models.errors import BadPretrainingSetting
    from slicebank_models.pretraining.ablation_plan import AblationPlan
    from slicebank_models.pretraining.spec import PretrainingSpec

    try:
        text = "" if settings is None else settings.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadPretrainingSetting("The settings file is no text in UTF-8.") from None
    spec = PretrainingSpec.from_toml(text, overrides)
    try:
        weights = tuple(float(weight) for weight in lesion_weights.split(","))
    except ValueError:
        raise BadPretrainingSetting(
            f"--lesion-weights must be numbers with commas between them, not {lesion_weights!r:.60}."
        ) from None
    named = [spec.model.architecture] if architectures is None else architectures.split(",")
    return AblationPlan(spec, tuple(name.strip() for name in named), weights, seeds)


def _cache(console: Console, sources: list[str], out: Path, boxes: Path | None, side: int) -> SliceCache:
    from slicebank_models.pretraining.slice_cache import SliceCache, is_cache
    from slicebank_worker.commands.caching import make_with_progress, print_cache, source_options

    if len(sources) == 1 and is_cache(Path(sources[0])):
        return SliceCache(Path(sources[0]))
    cache, report = make_with_progress(console, sources, out / "cache", source_options(boxes=boxes), side)
    print_cache(console, cache, report)
    return cache


def _run(
    console: Console, cache: SliceCache, plan: AblationPlan, out: Path, device: str
) -> tuple[list[AblationResult], bool]:
    """Results of all runs that ended, and whether these are all."""
    from slicebank_imaging.windows import NAMED
    from slicebank_models.pretraining.ablation import run_ablation
    from slicebank_models.pretraining.ablation_report import write_reports
    from slicebank_models.pretraining.distributed import processes_of_environment
    from slicebank_worker.commands.training_progress import TrainingProgress, asked_to_stop

    count = len(plan.runs())
    results: list[AblationResult] = []
    done = 0

    def announce(number: int, run: AblationRun) -> None:
        said = f"Run {number + 1} of {count}: {run.variant.title} of {run.variant.architecture}, seed {run.seed}"
        console.print(said, markup=False, soft_wrap=True)

    with processes_of_environment(device) as processes, TrainingProgress(console) as progress, asked_to_stop() as stop:
        for found in run_ablation(
            cache,
            plan,
            out,
            windows={name: (window.low, window.high) for name, window in NAMED.items()},
            processes=processes,
            on_run=announce,
            on_progress=progress.show,
            stop=stop.is_set,
        ):
            done += 1
            results += found
            write_reports(results, out)
    return results, done == count


def _show(console: Console, results: Sequence[AblationResult], out: Path) -> None:
    from rich.table import Table

    from slicebank_models.pretraining.ablation_figure import FIGURE, draw_ablation, has_matplotlib
    from slicebank_models.pretraining.ablation_report import CSV, PAGE, TASKS, summarise

    summaries = summarise(results)
    for task in dict.fromkeys(summary.task for summary in summaries):
        table = Table(title=f"AUROC on held-out patients, {TASKS[task]}")
        for column in ("architecture", "method", "seeds", "mean", "sd", "from MoCo"):
            table.add_column(column)
        for summary in (summary for summary in summaries if summary.task == task):
            table.add_row(
                summary.variant.architecture,
                summary.variant.title,
                str(summary.seeds),
                f"{summary.mean:.3f}",
                "" if summary.sd is None else f"{summary.sd:.3f}",
                "" if summary.difference_mean is None else f"{summary.difference_mean:+.3f}",
            )
        console.print(table)
    written = [CSV, PAGE]
    if has_matplotlib():
        draw_ablation(summaries, out / FIGURE)
        written.append(FIGURE)
    else:
        console.print(
            "matplotlib is not installed (pip install 'slicebank\\[train]'), so there is no figure; the same command draws it then."
        )
    console.print(f"Written to {out}: {', '.join(written)}.", markup=False, soft_wrap=True)
