"""Between database rows and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table

from slicebank_store.catalogue.records import (
    BagRecord,
    HeadRecord,
    JobRecord,
    KeptStack,
    PredictionRecord,
    SeriesRecord,
)
from slicebank_store.types import BagLevel, HeadState, JobKind, JobState, Priority

Record = TypeVar("Record", SeriesRecord, KeptStack, BagRecord, JobRecord, HeadRecord, PredictionRecord)

_ENUMS: Mapping[type, Mapping[str, type[StrEnum]]] = {
    JobRecord: {"kind": JobKind, "state": JobState, "priority": Priority},
    BagRecord: {"level": BagLevel},
    HeadRecord: {"state": HeadState, "level": BagLevel},
}


def to_record(kind: type[Record], row: Mapping[Any, Any]) -> Record:
    """A record from a row that has at least its columns; strings become enums here."""
    values = {field.name: row[field.name] for field in fields(kind)}
    # Columns that later versions added are null in rows of tests and of older versions.
    values |= {name: {} for name in ("head", "protocol", "about") if name in values and values[name] is None}
    for name, enum in _ENUMS.get(kind, {}).items():
        values[name] = enum(values[name])
    return kind(**values)


def to_row(record: SeriesRecord | BagRecord | PredictionRecord) -> dict[str, Any]:
    """The columns of a record, for an insert."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in values.items()}


def columns_of(kind: type[Any], table: Table) -> list[ColumnElement[Any]]:
    """The columns that a record needs, in its order."""
    return [table.c[field.name] for field in fields(kind)]
