"""The page of a benchmark's folder: what was compared on what, the tables, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slicebank.benchmark.results import EncoderResult, TaskResult
from slicebank.benchmark.tables import plain_cell, published_markdown, table_markdown, tables_of

PAGE = "benchmark.md"
PAPER = "Ligero, Lenz et al., Abnormality-Driven Representation Learning for Radiology Imaging"
JUDGED = {
    "test": "Mean over the folds, each fold's head judged on the same held-out test patients; deviation over the folds as a subscript.",
    "validation": "Mean over the folds, each judged on its own part of the patients; deviation over the folds as a subscript.",
}
# The published code, as far as it can be read: see docs/benchmark.md.
PUBLISHED_NOTE = f"From {PAPER}: of other test patients, and from code that computes AUC on thresholded predictions, which pulls figures towards 50."


def page_markdown(results: Sequence[TaskResult], figures: Mapping[str, Mapping[str, str]]) -> str:
    """The page.

    Args:
        results: one a task.
        figures: task -> path from the page -> caption; the key "" holds those of all tasks.
    """
    parts = ["# Benchmark of encoders"]
    for result in results:
        parts += [*_task(result), *_figures(figures.get(result.name, {}))]
    if figures.get(""):
        parts += ["## All tasks", *_figures(figures[""])]
    return "\n\n".join(parts) + "\n"


def _figures(figures: Mapping[str, str]) -> list[str]:
    return [f"![{caption}]({path})\n\n{caption}" for path, caption in figures.items()]


def _task(result: TaskResult) -> list[str]:
    parts = [f"## {_heading(result)}"]
    parts.append(
        "\n".join(f"| {name} | {plain_cell(text)} |" for name, text in [("", ""), ("---", "---"), *result.head.items()])
    )
    if result.note:
        parts.append(result.note)
    parts.append(
        f"{JUDGED[result.judged_on]} Shares are in hundredths. The best figure is bold, the second is underlined."
    )
    for caption, columns in tables_of(result):
        parts += [f"### {caption}"] if caption else []
        parts.append(table_markdown(result, columns))
        if published := published_markdown(result, columns):
            parts += ["Published:", published, PUBLISHED_NOTE]
    parts.append(_encoders(result.encoders))
    said = [*result.left_out, *(f"`{encoder}` has no head: {why}" for encoder, why in result.failed.items())]
    said += [f"`{row.encoder}`: {warning}" for row in result.encoders for warning in row.warnings]
    if said:
        parts.append("\n".join(f"- {sentence}" for sentence in said))
    return parts


def _heading(result: TaskResult) -> str:
    return f"Table {result.table}. {result.title}" if result.table else result.title


def _encoders(rows: Sequence[EncoderResult]) -> str:
    lines = [
        ["Model", "encoder", "weights (sha256)", "recipe", "rows", "windows read", "bags", "patients", "head"],
        ["---"] * 9,
    ]
    for row in rows:
        untrained = " (untrained)" if row.about.get("untrained") else ""
        windows = ", ".join(row.windows) or "none"
        rows_text = f"{row.about.get('dim', '')}-d a {row.about.get('level', '')}"
        lines.append(
            [
                plain_cell(row.title),
                f"`{row.encoder}`{untrained}",
                f"`{row.weights_digest[:16]}`",
                f"`{str(row.about.get('recipe', ''))[:16]}`",
                rows_text,
                windows,
                str(row.n_cases),
                str(row.n_patients),
                f"`{row.head_id}`",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
