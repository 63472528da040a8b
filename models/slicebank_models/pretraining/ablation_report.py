"""What an ablation leaves: ablation.csv with one line a run and task, and ablation.md with means over the seeds."""

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from slicebank_models.pretraining.ablation import AblationResult
from slicebank_models.pretraining.ablation_plan import Variant
from slicebank_models.pretraining.spec import Method

CSV = "ablation.csv"
PAGE = "ablation.md"
TASKS = {"label": "label of the slice", "lesion": "lesion box or none"}


@dataclass(frozen=True, slots=True)
class AblationSummary:
    """One variant's AUROC of one task over the seeds.

    Attributes:
        task: `label` or `lesion`.
        variant: What was trained.
        seeds: How many runs there are.
        mean: Of the AUROC.
        sd: Sample standard deviation over the seeds; None of a single one. It holds what seeds change, not the choice of
            patients.
        difference_mean: Mean over the seeds of the difference from MoCo v3 of the same seed; None where none has both.
        difference_sd: Sample standard deviation of these differences; None of a single one.
        paired: How many seeds have both.
        above: In how many of these the AUROC is above that of MoCo v3.
    """

    task: str
    variant: Variant
    seeds: int
    mean: float
    sd: float | None
    difference_mean: float | None
    difference_sd: float | None
    paired: int
    above: int


def summarise(results: Iterable[AblationResult]) -> list[AblationSummary]:
    """Means over the seeds, by task, architecture and lesion weight, MoCo v3 first."""
    found: dict[tuple[str, Variant], dict[int, float]] = {}
    for result in results:
        found.setdefault((result.task, result.variant), {})[result.seed] = result.auroc
    order = sorted(
        found, key=lambda key: (key[0], key[1].architecture, key[1].method is Method.LECL, key[1].lesion_weight)
    )
    summaries = []
    for task, variant in order:
        values = found[task, variant]
        baseline = found.get((task, Variant(variant.architecture, Method.MOCO)), {})
        pairs = (
            []
            if variant.method is Method.MOCO
            else [values[seed] - baseline[seed] for seed in values if seed in baseline]
        )
        summaries.append(
            AblationSummary(
                task,
                variant,
                len(values),
                statistics.fmean(values.values()),
                _sd(list(values.values())),
                statistics.fmean(pairs) if pairs else None,
                _sd(pairs),
                len(pairs),
                sum(pair > 0 for pair in pairs),
            )
        )
    return summaries


def write_reports(results: Sequence[AblationResult], folder: Path) -> None:
    """Replaces ablation.csv and ablation.md."""
    _replace(folder / CSV, ablation_csv(results))
    _replace(folder / PAGE, ablation_page(results))


def ablation_csv(results: Sequence[AblationResult]) -> str:
    """One line a run and task, with the names of `AblationResult`'s attributes above."""
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, [entry.name for entry in fields(AblationResult)], lineterminator="\n")
    rows.writeheader()
    rows.writerows({**asdict(result), "method": result.method.value} for result in results)
    return text.getvalue()


def ablation_page(results: Sequence[AblationResult]) -> str:
    """Markdown: for each task a table of means, and what they were measured on."""
    summaries = summarise(results)
    parts = ["# MoCo v3 and LECL by lesion weight"]
    for task in dict.fromkeys(summary.task for summary in summaries):
        one = next(result for result in results if result.task == task)
        parts.append(
            f"## {TASKS[task].capitalize()}\n\n"
            f"Linear probe on frozen features of whole slices: fitted to {one.train_slices:,} slices that the encoders were "
            f"trained on, judged on {one.held_out_slices:,} slices of {one.held_out_patients:,} held-out patients; "
            f"{one.classes} classes. AUROC, mean and standard deviation over the seeds; the patients are the same for all, so "
            "that the deviation does not hold their choice. The difference is that from MoCo v3 of the same seed."
        )
        rows = [_row(summary) for summary in summaries if summary.task == task]
        head = ("architecture", "method", "seeds", "AUROC", "difference", "above MoCo")
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)))
    return "\n\n".join(parts) + "\n"


def _row(summary: AblationSummary) -> list[str]:
    difference = "" if summary.difference_mean is None else f"{summary.difference_mean:+.3f}"
    return [
        f"`{summary.variant.architecture}`",
        summary.variant.title,
        str(summary.seeds),
        f"{summary.mean:.3f}{_deviation(summary.sd)}",
        f"{difference}{_deviation(summary.difference_sd)}",
        f"{summary.above} of {summary.paired}" if summary.paired else "",
    ]


def _deviation(sd: float | None) -> str:
    return "" if sd is None else f" ± {sd:.3f}"


def _sd(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
