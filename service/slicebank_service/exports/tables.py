"""The tables that each reader expects beside the files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from slicebank_models.errors import MalformedLabels
from slicebank_service.exports.layouts import ExportedBag, Layout, files_of, stem_of
from slicebank_service.exports.selecting import Selection
from slicebank_store.types import JSON

MANIFEST = "manifest.json"

_POSITIVE = frozenset({"1", "1.0", "true", "yes", "positive"})
_NEGATIVE = frozenset({"0", "0.0", "false", "no", "negative"})


def check_labels(selection: Selection) -> None:
    """Refuses labels that the layout's tables cannot hold, before the answer begins.

    Raises:
        MalformedLabels: series of one patient with different labels, for STAMP; a label that is not 0 or 1, for CLEAR.
    """
    if selection.layout is Layout.STAMP:
        _by_patient(selection.bags)
    if selection.layout is Layout.CLEAR:
        for bag in selection.bags:
            _answers(selection.columns, bag)


def tables_of(selection: Selection, bags: Sequence[ExportedBag], left_out: Sequence[JSON]) -> list[tuple[str, bytes]]:
    """The tables of an export and its manifest, as paths and contents.

    Args:
        selection: what was asked for.
        bags: those whose files were sent, or are there already.
        left_out: those that were not, and why.
    """
    make = {
        Layout.STAMP: _stamp,
        Layout.TRIDENT: _trident,
        Layout.CLAM: _clam,
        Layout.CLEAR: _clear,
        Layout.PARQUET: _parquet,
    }[selection.layout]
    return [*make(selection.columns, bags), (MANIFEST, _manifest(selection, bags, left_out))]


def _stamp(columns: Sequence[str], bags: Sequence[ExportedBag]) -> list[tuple[str, bytes]]:
    # Sorted by PATIENT: STAMP groups rows that follow each other, and drops files of a patient that comes twice.
    slides = sorted((bag.patient, f"{stem_of(Layout.STAMP, bag)}.h5") for bag in bags)
    clini = sorted((patient, *labels) for patient, labels in _by_patient(bags).items())
    return [
        ("clini.csv", _csv(["PATIENT", *columns], clini)),
        ("slide.csv", _csv(["PATIENT", "FILENAME"], slides)),
    ]


def _trident(columns: Sequence[str], bags: Sequence[ExportedBag]) -> list[tuple[str, bytes]]:
    rows = [(bag.patient, stem_of(Layout.TRIDENT, bag), *bag.labels) for bag in bags]
    return [("labels.csv", _csv(["case_id", "slide_id", *columns], rows))]


def _clam(columns: Sequence[str], bags: Sequence[ExportedBag]) -> list[tuple[str, bytes]]:
    """One table a label: CLAM reads `label` and has no word for what is not known, so such rows are left out."""
    tables = []
    for at, column in enumerate(columns):
        rows = [(bag.patient, stem_of(Layout.CLAM, bag), bag.labels[at]) for bag in bags if bag.labels[at]]
        name = "dataset.csv" if len(columns) == 1 else f"dataset_{at + 1}_{_file_name(column)}.csv"
        tables.append((name, _csv(["case_id", "slide_id", "label"], rows)))
    if not columns:
        rows = [(bag.patient, stem_of(Layout.CLAM, bag), "") for bag in bags]
        tables.append(("dataset.csv", _csv(["case_id", "slide_id", "label"], rows)))
    return tables


def _clear(columns: Sequence[str], bags: Sequence[ExportedBag]) -> list[tuple[str, bytes]]:
    """`all` is 1 where any label is; rows with a label that is not known are left out, because CLEAR would learn NaN."""
    rows = []
    for bag in bags:
        answers = _answers(columns, bag)
        if None not in answers:
            rows.append((stem_of(Layout.CLEAR, bag), *answers, int(any(answers))))
    return [("labels.csv", _csv(["image", *columns, "all"], rows))]


def _parquet(columns: Sequence[str], bags: Sequence[ExportedBag]) -> list[tuple[str, bytes]]:
    rows = [(bag.bag_id, bag.series_uid, bag.study_uid, bag.patient, bag.n_rows, *bag.labels) for bag in bags]
    return [("bags.csv", _csv(["bag_id", "series_uid", "study_uid", "patient", "n_rows", *columns], rows))]


def _manifest(selection: Selection, bags: Sequence[ExportedBag], left_out: Sequence[JSON]) -> bytes:
    value = {
        "layout": selection.layout.value,
        "encoder": selection.encoder,
        "recipe": selection.recipe,
        "recipe_digest": selection.recipe_digest,
        "labels": list(selection.columns),
        "bags": [
            {
                "bag_id": bag.bag_id,
                "series_uid": bag.series_uid,
                "study_uid": bag.study_uid,
                "patient": bag.patient,
                "n_rows": bag.n_rows,
                "dim": bag.dim,
                "files": [path for path, _ in files_of(selection.layout, bag)],
            }
            for bag in bags
        ],
        "left_out": list(left_out),
        "n_unmatched": len(selection.unmatched),
    }
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _by_patient(bags: Iterable[ExportedBag]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for bag in bags:
        if found.setdefault(bag.patient, bag.labels) != bag.labels:
            raise MalformedLabels(
                f"two series of patient {bag.patient[:12]}... have different labels, and STAMP has one row a patient; "
                "key the labels by patient, or choose another layout"
            )
    return found


def _answers(columns: Sequence[str], bag: ExportedBag) -> list[int | None]:
    answers: list[int | None] = []
    for column, text in zip(columns, bag.labels, strict=True):
        word = text.lower()
        if word and word not in _POSITIVE | _NEGATIVE:
            raise MalformedLabels(
                f"{column!r} of series {bag.series_uid} is {text[:64]!r}; CLEAR's tables hold 1, 0, or nothing where it is not known"
            )
        answers.append(int(word in _POSITIVE) if word else None)
    return answers


def _file_name(column: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", column).strip("-")[:64] or "label"


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return target.getvalue().encode()
