"""`slicebank pretrain run` and `slicebank pretrain settings`."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slicebank_worker.commands.caching import (
    AssumeRescale,
    Boxes,
    Force,
    MaskValues,
    Project,
    Side,
    Splits,
    Workers,
)
from slicebank_worker.commands.options import refusals_said

if TYPE_CHECKING:
    from rich.console import Console

    from slicebank_models.pretraining.distributed import Processes
    from slicebank_models.pretraining.slice_cache import SliceCache
    from slicebank_models.pretraining.spec import PretrainingSpec
    from slicebank_models.pretraining.training import RunResult
    from slicebank_worker.pretraining.recognising import SourceOptions

SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        exists=True,
        dir_okay=False,
        metavar="FILE.toml",
        help="Settings; `slicebank pretrain settings` prints one that explains itself.",
        show_default="those of the folder's run, or the paper's",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="One setting, over the file's; may be repeated."),
]


def run_pretraining(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            file_okay=False,
            help="Folder of the run; one that holds an unfinished run goes on with it.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="A cache, or what one is made from, as for `slicebank pretrain cache`; it is kept in the run's folder.",
            show_default="the run's own cache",
        ),
    ] = None,
    settings: SettingsFile = None,
    overrides: Overrides = None,
    boxes: Boxes = None,
    side: Side = 512,
    workers: Workers = None,
    splits: Splits = "train",
    mask_values: MaskValues = "",
    project: Project = "default",
    assume_rescale: AssumeRescale = None,
    force: Force = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Pre-train an encoder of slices by LECL or MoCo v3; interrupted or killed, the same command goes on.

    For several GPUs or nodes: torchrun --nproc-per-node N --no-python slicebank pretrain run ...
    """
    # cuBLAS reads it when CUDA begins; it matters where run.deterministic is on.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from rich.console import Console

    from slicebank_models.pretraining.distributed import processes_of_environment
    from slicebank_models.pretraining.training import pretrain
    from slicebank_worker.commands.caching import source_options
    from slicebank_worker.commands.training_progress import TrainingProgress, asked_to_stop

    console = Console(highlight=False)
    with refusals_said(console):
        spec = _spec(settings, overrides or [], out)
        options = source_options(
            boxes=boxes,
            workers=workers,
            splits=splits,
            mask_values=mask_values,
            project=project,
            assume_rescale=assume_rescale,
            force=force,
        )
        with processes_of_environment(device) as processes:
            shown = Console(highlight=False, quiet=not processes.first)
            cache = _cache(shown, sources or [], out, options, side, processes)
            _say_what(shown, cache, spec, processes)
            with TrainingProgress(shown) as progress, asked_to_stop() as stop:
                result = pretrain(
                    cache,
                    spec,
                    out,
                    windows=_windows(),
                    processes=processes,
                    on_progress=progress.show,
                    stop=stop.is_set,
                )
    _say_how(shown, result, out)
    if result.interrupted:
        raise typer.Exit(1)


def print_settings(
    settings: SettingsFile = None,
    overrides: Overrides = None,
) -> None:
    """Print the settings of a pre-training run as a TOML file in which each one is explained."""
    from rich.console import Console

    from slicebank_models.pretraining.settings_file import settings_toml

    with refusals_said(Console(highlight=False, stderr=True)):
        spec = _spec(settings, overrides or [], None)
    typer.echo(settings_toml(spec), nl=False)


def _spec(settings: Path | None, overrides: list[str], folder: Path | None) -> PretrainingSpec:
    """The settings named, or those that the run in the folder has; the latter end where they end, unless it is said anew."""
    from slicebank_models.errors import BadPretrainingSetting
    from slicebank_models.pretraining import settings_file
    from slicebank_models.pretraining.spec import PretrainingSpec

    kept = None if folder is None else folder / settings_file.NAME
    if settings is None and kept is not None and kept.is_file():
        settings, overrides = kept, ["run.max_steps=0", *overrides]
    try:
        text = "" if settings is None else settings.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadPretrainingSetting("The settings file is no text in UTF-8.") from None
    return PretrainingSpec.from_toml(text, overrides)


def _windows() -> dict[str, tuple[float, float]]:
    from slicebank_imaging.windows import NAMED

    return {name: (window.low, window.high) for name, window in NAMED.items()}


def _cache(
    console: Console, sources: list[str], folder: Path, options: SourceOptions, side: int, processes: Processes
) -> SliceCache:
    """Opens the cache, made by the first process where it has to be made."""
    from slicebank_models.errors import SourceProblem
    from slicebank_models.pretraining.slice_cache import SliceCache, is_cache
    from slicebank_worker.commands.caching import make_with_progress, print_cache

    own = folder / "cache"
    if len(sources) == 1 and is_cache(Path(sources[0])):
        return SliceCache(Path(sources[0]))
    if not sources and not is_cache(own):
        raise SourceProblem("Name a cache, or what one is to be made from, such as a folder of DICOM.")
    if not processes.first:
        processes.wait()
        return SliceCache(own)
    cache, report = make_with_progress(console, sources, own, options, side)
    if report is not None:
        print_cache(console, cache, report)
    processes.wait()
    return cache


def _say_what(console: Console, cache: SliceCache, spec: PretrainingSpec, processes: Processes) -> None:
    from slicebank_models.pretraining.scalars import has_tensorboard

    annotated = int(cache.annotated.sum())
    where = f"{processes.world_size} processes" if processes.world_size > 1 else str(processes.device)
    console.print(
        f"{spec.loss.method.upper()} of [bold]{spec.model.architecture}[/bold] on {len(cache):,} slices, "
        f"{annotated:,} of them with lesion boxes; batches of {spec.optimiser.batch_size:,} on {where}.",
        soft_wrap=True,
    )
    if not annotated and spec.loss.method == "lecl":
        console.print("No slice has a box, so that LECL does what MoCo v3 does.", style="yellow", soft_wrap=True)
    if not has_tensorboard():
        console.print(
            "TensorBoard is not installed (pip install 'slicebank\\[train]'); metrics.csv has the curve.",
            soft_wrap=True,
        )


def _say_how(console: Console, result: RunResult, folder: Path) -> None:
    where = f"step {result.step:,} of {result.total_steps:,}, {result.seconds / 3600:.2f} hours of training"
    if result.interrupted:
        console.print(f"Stopped at {where}. The same command goes on from here.", style="yellow", soft_wrap=True)
        return
    done = "Done:" if result.step == result.total_steps else "Stopped by run.max_steps at"
    loss = "" if math.isnan(result.loss) else f", loss {result.loss:.4f}"
    console.print(f"{done} {where}{loss}.", soft_wrap=True)
    if result.probe is not None:
        console.print(
            f"Linear probe on held-out patients: AUROC {result.probe.auroc:.3f}, balanced accuracy "
            f"{result.probe.balanced_accuracy:.3f}.",
            soft_wrap=True,
        )
    console.print(f"Export it: slicebank pretrain export {folder}", markup=False, soft_wrap=True)
    console.print("Then `slicebank encoders add` takes what was exported.", soft_wrap=True)
