"""A benchmark from beginning to end: embed what is missing, train what is missing, and write tables and figures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import slicebank
from slicebank.benchmark.attention import attention_of
from slicebank.benchmark.case import Case, Dataset
from slicebank.benchmark.embedding import Bags, Embedder
from slicebank.benchmark.figure2 import caption_of, draw_figure2, points_csv
from slicebank.benchmark.figure3 import SHOWN_WINDOWS, draw_figure3, slices_to_show
from slicebank.benchmark.label_rules import Answers, answers_of
from slicebank.benchmark.page import PAGE, page_markdown
from slicebank.benchmark.results import EncoderResult, TaskResult, fold_scores, splits_phrase
from slicebank.benchmark.state_file import read_json, write_json, write_text
from slicebank.benchmark.tables import scores_csv, table_markdown, tables_of
from slicebank.benchmark.task_file import BenchmarkTask
from slicebank.benchmark.training import Trained, Trainer, label_rows, train_all
from slicebank.client import Client
from slicebank.errors import BadLabels, InputError, SlicebankError
from slicebank.records import Encoder, Job

RESULTS, TASK = "results.json", "task.toml"
FIGURE2, FIGURE2_DATA = "figure2.svg", "figure2.csv"


class Teller(Protocol):
    """Who is told how far it is."""

    def say(self, text: str) -> None:
        """One sentence."""
        ...

    def case(self, done: int, total: int, name: str) -> None:
        """Cases embedded."""
        ...

    def job(self, encoder: Encoder, job: Job) -> None:
        """A training goes on."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did.

    Attributes:
        sent: uploads made.
        trained: heads that were trained, beside those used again.
        failed_cases: case -> why.
    """

    result: TaskResult
    sent: int
    trained: int
    failed_cases: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether every case and every encoder is in the tables."""
        return not (self.failed_cases or self.result.failed)


def run_benchmark(
    client: Client,
    task: BenchmarkTask,
    dataset: Dataset,
    encoders: Mapping[str, str],
    out: Path,
    teller: Teller,
    *,
    task_text: str = "",
    limit: int | None = None,
    scratch: Path | None = None,
) -> Run:
    """Does what is missing of a benchmark and writes its folder.

    Args:
        client: of the server.
        task: what is asked.
        dataset: of whom.
        encoders: id -> what tables call it, in the order of the tables.
        out: folder of the benchmark; holds any number of tasks.
        teller: told of progress.
        task_text: the task file, kept beside the results.
        limit: cases at most, for trying.
        scratch: where files are made for sending.

    Raises:
        InputError: no case has a known label, or none has bags.
        NotFound: an encoder that the server does not know.
        SlicebankError: whatever the server says; what was done is not done again.
    """
    cards = _cards(client, encoders)
    folder = out / task.name
    cases, answers, left_out = _labelled(task, dataset, limit)
    teller.say(f"{len(cases)} labelled cases of {dataset.name}, {len(cards)} encoders.")
    bags = Embedder(client, dataset, cards, out / "bags", key=task.key, scratch=scratch).run(cases, teller.case)
    complete = bags.complete(cases)
    for name, why in bags.failed.items():
        left_out.append(f"{name} is left out: {why}")
    if not complete:
        example = next(iter(bags.failed.values()), "")
        raise InputError(f"No case has bags of all encoders. {example}".strip())
    rows = label_rows(task, complete, bags, answers)
    trainer = Trainer(client, task, rows, folder / "heads")
    trained, failed = train_all(trainer, cards, bags, teller.job)
    result = _result(task, dataset, cards, encoders, complete, trained, failed, left_out)
    if task_text:
        write_text(folder / TASK, task_text)
    figures = _figure3(client, task, dataset, trained, complete, bags, answers, encoders, folder, scratch)
    write_json(folder / RESULTS, {**result.as_dict(), "figures": figures})
    write_folder(out)
    return Run(result, bags.sent, sum(not head.reused for head in trained.values()), bags.failed)


def write_folder(out: Path) -> None:
    """Writes tables, Figure 2 and the page of all tasks in a folder, from what is kept of them."""
    results: list[TaskResult] = []
    figures: dict[str, dict[str, str]] = {}
    for path in sorted(out.glob(f"*/{RESULTS}")):
        kept = read_json(path)
        drawn = kept.pop("figures", {})
        result = TaskResult.from_dict(kept)
        results.append(result)
        figures[result.name] = {f"{path.parent.name}/{name}": caption for name, caption in drawn.items()}
        tables = [table_markdown(result, columns) for _, columns in tables_of(result)]
        write_text(path.parent / "table.md", "\n\n".join(tables) + "\n")
        write_text(path.parent / "table.csv", scores_csv(result))
    results.sort(key=lambda result: (result.table or 99, result.name))
    if any(result.encoders for result in results):
        data = points_csv(results)
        known = (out / FIGURE2_DATA).read_text(encoding="utf-8") if (out / FIGURE2_DATA).exists() else ""
        if known != data or not (out / FIGURE2).exists():
            draw_figure2(results, out / FIGURE2)
            write_text(out / FIGURE2_DATA, data)
        figures[""] = {FIGURE2: caption_of(results)}
    write_text(out / PAGE, page_markdown(results, figures))


def _cards(client: Client, encoders: Mapping[str, str]) -> list[Encoder]:
    cards = [client.encoders.get(name) for name in encoders]
    for card in cards:
        if not card.usable:
            raise InputError(f"Encoder {card.id} has no weights at the server.", hint=card.how_to_get or None)
    return cards


def _labelled(
    task: BenchmarkTask, dataset: Dataset, limit: int | None
) -> tuple[list[Case], dict[str, Answers], list[str]]:
    """Cases with a known answer, their answers, and sentences about the others."""
    found = dataset.cases()
    answers = {case.name: answers_of(case, task.rules) for case in found}
    known = [case for case in found if any(answers[case.name].values())]
    if not known:
        raise BadLabels(f"No case of {dataset.name} has a known label; {len(found)} cases were looked at.")
    left_out = list(dataset.left_out)
    if len(known) < len(found):
        left_out.append(f"{len(found) - len(known)} cases without a known label are left out.")
    if limit is not None and limit < len(known):
        left_out.append(f"Only the first {limit} of {len(known)} cases were taken (--limit).")
        known = known[:limit]
    return known, answers, left_out


def _result(
    task: BenchmarkTask,
    dataset: Dataset,
    cards: Sequence[Encoder],
    titles: Mapping[str, str],
    cases: Sequence[Case],
    trained: Mapping[str, Trained],
    failed: Mapping[str, str],
    left_out: Sequence[str],
) -> TaskResult:
    rows, judged = [], {"test"}
    for card in cards:
        if (head := trained.get(card.id)) is None:
            continue
        scores, on = fold_scores(head.head.metrics)
        judged.add(on)
        rows.append(
            EncoderResult(
                encoder=card.id,
                title=titles[card.id],
                weights_digest=card.weights_digest,
                windows=head.windows,
                head_id=head.head.head_id,
                scores=scores,
                n_cases=int(head.head.metrics.get("n_cases") or head.head.n_cases),
                n_patients=int(head.head.metrics.get("n_patients") or 0),
                warnings=head.warnings,
                about={
                    "dim": card.dim,
                    "level": card.level,
                    "untrained": card.untrained,
                    "recipe": head.head.raw.get("recipe_digest") or "",
                },
            )
        )
    # Classes of a column, and the risk that times and events become, are named by the head.
    named = task.kind not in ("multiclass", "survival") and task.labels
    labels = task.labels if named else tuple(rows[0].scores if rows else ())
    return TaskResult(
        name=task.name,
        title=task.title,
        table=task.table,
        labels=labels,
        metrics=task.metrics,
        encoders=tuple(rows),
        judged_on="validation" if "validation" in judged else "test",
        note=task.note,
        published=tuple({"model": row.model, "mean": row.mean, "sd": row.sd} for row in task.published),
        head=_head(task, dataset, cases, list(trained.values())),
        left_out=tuple(left_out),
        failed=dict(failed),
    )


def _head(task: BenchmarkTask, dataset: Dataset, cases: Sequence[Case], trained: Sequence[Trained]) -> dict[str, str]:
    """What stands above the tables."""
    patients = {case.patient for case in cases if case.patient}
    lines = {
        "data set": dataset.name,
        "cases": f"{len(cases)}" + (f" of {len(patients)} patients" if patients else ""),
        "labels": f"{task.kind}, by {task.key}",
    }
    splits = list(dict.fromkeys(splits_phrase(one.head.metrics) for one in trained))
    if any(splits):
        lines["splits"] = splits[0] if len(splits) == 1 else f"differ between encoders: {' | '.join(splits)}"
    for name in ("training", "protocol", "head"):
        values: Mapping[str, Any] = (trained[0].head.raw.get(name) or {}) if trained else {}
        told = [f"{key} {_spoken(value)}" for key, value in values.items() if value not in (None, "", {}, [])]
        if told:
            lines[name] = ", ".join(told)
    pipelines = {str(one.head.recipe.get("pipeline_version", "")) for one in trained} - {""}
    lines["software"] = (
        f"slicebank {slicebank.__version__}, pixel pipeline {', '.join(sorted(pipelines)) or 'not told'}"
    )
    return lines


def _spoken(value: Any) -> str:
    if isinstance(value, dict):
        return "given" if value else "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _figure3(
    client: Client,
    task: BenchmarkTask,
    dataset: Dataset,
    trained: Mapping[str, Trained],
    cases: Sequence[Case],
    bags: Bags,
    answers: Mapping[str, Answers],
    titles: Mapping[str, str],
    folder: Path,
    scratch: Path | None,
) -> dict[str, str]:
    """Draws the chosen cases; returns file -> caption."""
    attention = attention_of(client, task, trained, cases, bags, answers, folder)
    by_name = {case.name: case for case in cases}
    drawn = {}
    for number, (name, told) in enumerate(attention.by_case.items(), start=1):
        file = "figure3.svg" if len(attention.by_case) == 1 else f"figure3-{number}.svg"
        there = not attention.new and (folder / file).exists()
        if not there:
            pictures = _pictures(dataset, by_name[name], bags, slices_to_show(told), scratch)
            there = draw_figure3(name, told, titles, pictures, folder / file)
        if there:
            drawn[file] = f"Figure 3. Attention in case {name} ({attention.captions[name]})."
    return drawn


def _pictures(
    dataset: Dataset, case: Case, bags: Bags, slices: Sequence[int], scratch: Path | None
) -> dict[tuple[int, str], bytes]:
    """Pictures of a case's slices, made of its files; none where there are no files here."""
    from slicebank_imaging.errors import ImagingError
    from slicebank_imaging.slice_pictures import slice_pictures

    series = next(iter(bags.by_encoder.values()))[case.name].series[0]
    try:
        with tempfile.TemporaryDirectory(prefix="slicebank-case-", dir=scratch) as made:
            path = dataset.files_of(case, Path(made))
            return {} if path is None else slice_pictures(path, slices, SHOWN_WINDOWS, series_uid=series)
    except (ImagingError, SlicebankError):
        return {}
