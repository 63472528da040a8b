"""The paper's Tables 2 to 4 as Markdown and CSV: mean, deviation as a subscript, the best figure bold and the second underlined."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from slicebank.benchmark.results import AVERAGE, LOWER_IS_BETTER, SHARES, SPOKEN, Score, TaskResult

NOTHING = "–"  # noqa: RUF001 - the dash of tables


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it is of, and what stands above it."""

    label: str
    metric: str
    heading: str


def tables_of(result: TaskResult) -> list[tuple[str, list[Column]]]:
    """Caption and columns of each table: figures side by side for one label, else a table a figure with labels side by side."""
    if len(result.labels) == 1:
        columns = [Column(result.labels[0], metric, SPOKEN.get(metric, metric)) for metric in result.metrics]
        return [("", columns)]
    return [
        (SPOKEN.get(metric, metric), [Column(label, metric, label) for label in (*result.labels, AVERAGE)])
        for metric in result.metrics
    ]


def table_markdown(result: TaskResult, columns: Sequence[Column]) -> str:
    """One table; figures that look alike share a mark."""
    scores = [[row.score(column.label, column.metric) for column in columns] for row in result.encoders]
    marks = [_marks([row[at] for row in scores], column.metric) for at, column in enumerate(columns)]
    lines = [["Model", *(column.heading for column in columns)], ["---"] * (len(columns) + 1)]
    for number, row in enumerate(result.encoders):
        cells = [_cell(scores[number][at], column.metric, marks[at]) for at, column in enumerate(columns)]
        lines.append([plain_cell(row.title), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def published_markdown(result: TaskResult, columns: Sequence[Column]) -> str:
    """What others got, in the same columns; empty where the task file tells none for them."""
    wanted = [column for column in columns if column.label != AVERAGE]
    lines = [["Model", *(column.heading for column in columns)], ["---"] * (len(columns) + 1)]
    for row in result.published:
        if len(row["mean"]) != len(wanted):
            return ""
        scores = [Score(mean / 100, sd / 100) for mean, sd in zip(row["mean"], row["sd"], strict=True)]
        if len(columns) > len(wanted):
            scores.append(Score.average(scores))
        lines.append([plain_cell(row["model"]), *(_cell(score, columns[0].metric, ("", "")) for score in scores)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if result.published else ""


def scores_csv(result: TaskResult) -> str:
    """One line a model, label and figure, with mean, deviation and the value of each fold; not in hundredths."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["task", "encoder", "model", "label", "metric", "mean", "sd", "judged_on", "folds"])
    for row in result.encoders:
        labels = (*result.labels, AVERAGE) if len(result.labels) > 1 else result.labels
        for label in labels:
            for metric in result.metrics:
                score = row.score(label, metric)
                values = [] if label == AVERAGE else row.scores.get(label, {}).get(metric, ())
                folds = " ".join("nan" if value is None else f"{value:.6f}" for value in values)
                rows.writerow(
                    [
                        result.name,
                        row.encoder,
                        row.title,
                        label,
                        metric,
                        _plain(score.mean),
                        _plain(score.sd),
                        result.judged_on,
                        folds,
                    ]
                )
    return text.getvalue()


def shown(value: float, metric: str) -> str:
    """A figure as tables give it: shares in hundredths with one digit, others with three significant ones."""
    # What lies between two digits goes up, as printed tables have it.
    return f"{100 * value + 1e-9:.1f}" if metric in SHARES else f"{value:.3g}"


def plain_cell(text: str) -> str:
    """A text that cannot end a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _cell(score: Score, metric: str, marks: tuple[str, str]) -> str:
    if score.mean is None:
        return NOTHING
    text = shown(score.mean, metric)
    spread = "" if score.sd is None else f" <sub>{shown(score.sd, metric)}</sub>"
    best, second = marks
    if text == best:
        return f"**{text}**{spread}"
    return f"<u>{text}</u>{spread}" if text == second else f"{text}{spread}"


def _marks(scores: Sequence[Score], metric: str) -> tuple[str, str]:
    """The best figure and the second as they are shown; empty where there is nothing to compare."""
    texts = {shown(score.mean, metric) for score in scores if score.mean is not None}
    order = sorted(texts, key=float, reverse=metric not in LOWER_IS_BETTER)
    return (order[0], order[1]) if len(order) > 1 else ("", "")


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
