"""Task files: what a benchmark asks of a data set, as TOML, read strictly."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from slicebank.benchmark.label_rules import LabelRule
from slicebank.errors import BadTaskFile

SHIPPED = files("slicebank.benchmark") / "tasks"
KINDS = ("binary", "multilabel", "multiclass", "regression", "survival")
KEYS = ("series_uid", "study_uid", "patient")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KNOWN = frozenset(
    {"name", "title", "table", "dataset", "kind", "key", "windows", "metrics", "note", "labels"}
    | {"training", "head", "protocol", "figure3", "published"}
)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of a published table: `mean` and `sd` in hundredths, one a column of it."""

    model: str
    mean: tuple[float, ...]
    sd: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """One task.

    Attributes:
        name: Of its folder and its heads.
        title: Of its table.
        table: Number of the table in the paper; 0 for one that is not there.
        dataset: Name of the reader; `files` for one's own folder, `series` for what the service has already.
        kind: What the outputs mean, as in POST /v1/heads.
        key: What a label belongs to: a series, a study or a patient.
        rules: Label -> how it follows from the data set's columns; empty where the columns of the labels table are the labels.
        windows: Names of the windows whose rows are used; empty for all that an encoder has.
        metrics: Columns of the table where there is one label, else one table each.
        training: Settings that differ from the service's defaults, as in POST /v1/heads.
        head: The same for the head.
        protocol: The same for the protocol.
        cases: Names of the cases of Figure 3; empty for one chosen by rule.
        note: What a reader should know beside the numbers.
        published: What others got, on splits of their own.
    """

    name: str
    title: str
    dataset: str
    kind: str
    table: int = 0
    key: str = "series_uid"
    rules: Mapping[str, LabelRule] = field(default_factory=dict)
    windows: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("auroc",)
    training: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[str, ...] = ()
    note: str = ""
    published: tuple[PublishedRow, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the table; empty where the labels table names them."""
        return tuple(self.rules)

    @property
    def columns(self) -> tuple[str, ...]:
        """Patterns of the columns that its rules read."""
        return tuple(dict.fromkeys(column for rule in self.rules.values() for column in rule.columns))


def shipped_tasks() -> tuple[str, ...]:
    """Names of the tasks that come with the package."""
    return tuple(sorted(item.name.removesuffix(".toml") for item in SHIPPED.iterdir() if item.name.endswith(".toml")))


def task_text(named: str) -> str:
    """The text of a shipped task, or of a file.

    Raises:
        BadTaskFile: neither is there.
    """
    if named in shipped_tasks():
        return (SHIPPED / f"{named}.toml").read_text(encoding="utf-8")
    path = Path(named).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadTaskFile(
            f"{named} is no task that ships ({', '.join(shipped_tasks())}) and no file: {error.strerror or error}."
        ) from error
    except UnicodeDecodeError as error:
        raise BadTaskFile(f"{named} is no text in UTF-8.") from error


def read_task(text: str) -> BenchmarkTask:
    """Reads a task.

    Raises:
        BadTaskFile: no TOML, an unknown key, or a value of the wrong kind; the sentence names it.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTaskFile(f"The task file is no TOML: {error}.") from error
    if unknown := sorted(set(values) - _KNOWN):
        raise BadTaskFile(
            f"The task file has the unknown key {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}."
        )
    name = _text(values, "name")
    if _NAME.fullmatch(name) is None:
        raise BadTaskFile("name must be up to 64 letters, digits, dashes and underscores; it names a folder.")
    table = values.get("table", 0)
    if not isinstance(table, int) or isinstance(table, bool) or table < 0:
        raise BadTaskFile("table must be the number of a table, or be left out.")
    figure = _table(values, "figure3")
    if strange := sorted(set(figure) - {"cases"}):
        raise BadTaskFile(f"figure3 has the unknown key {', '.join(strange)}; it has cases.")
    return BenchmarkTask(
        name=name,
        title=_text(values, "title"),
        dataset=_text(values, "dataset"),
        kind=_one_of(values, "kind", KINDS),
        table=table,
        key=_one_of(values, "key", KEYS, "series_uid"),
        rules={label: _rule(label, rule) for label, rule in _table(values, "labels").items()},
        windows=_names(values, "windows"),
        metrics=_names(values, "metrics") or ("auroc",),
        training=_table(values, "training"),
        head=_table(values, "head"),
        protocol=_table(values, "protocol"),
        cases=_names(figure, "cases"),
        note=_text(values, "note", ""),
        published=tuple(_published(row) for row in values.get("published", ())),
    )


def _text(values: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise BadTaskFile(f"The task file needs a text {key}." if value is None else f"{key} must be a text.")
    return value.strip()


def _one_of(values: Mapping[str, Any], key: str, known: tuple[str, ...], default: str | None = None) -> str:
    value = _text(values, key, default)
    if value not in known:
        raise BadTaskFile(f"{key} is {value[:40]!r}; it must be one of {', '.join(known)}.")
    return value


def _names(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = values.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise BadTaskFile(f"{key} must be a list of names.")
    return tuple(item.strip() for item in value)


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise BadTaskFile(f"{key} must be a table.")
    return dict(value)


def _rule(label: str, value: Any) -> LabelRule:
    if not isinstance(value, dict) or set(value) - {"columns", "positive", "negative"} or not value.get("columns"):
        raise BadTaskFile(f"labels.{label} must name its columns, and may have positive and negative values.")
    return LabelRule(_names(value, "columns"), _names(value, "positive"), _names(value, "negative"))


def _published(row: Any) -> PublishedRow:
    try:
        mean, sd = (tuple(float(value) for value in row[key]) for key in ("mean", "sd"))
        if len(mean) == len(sd):
            return PublishedRow(str(row["model"]), mean, sd)
    except (TypeError, ValueError, KeyError):
        pass
    raise BadTaskFile("A published row has model, and as many numbers in mean as in sd.")
