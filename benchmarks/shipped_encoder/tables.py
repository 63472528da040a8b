"""The two tables that collecting writes: boxes.csv and sources.csv."""

from __future__ import annotations

import csv
import os.path
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pydicom import dcmread

from benchmarks.shipped_encoder.axial_slices import TakenSlice, scanner_of
from benchmarks.shipped_encoder.boxes import SliceBox
from benchmarks.shipped_encoder.sources import Collection, ShelfFolder


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One series.

    Attributes:
        repository: OWNER/NAME.
        commit: 40 hexadecimal digits; empty for series of the tests' real CT.
        path: The deepest folder that holds all its slices.
        collection: Title of the collection; empty where there is none.
        terms: Of the collection, or else of the repository.
        patient: The collection's pseudonym.
        series_uid: As in the files.
        scanner: Manufacturer and model.
        slices: How many were taken.
    """

    repository: str
    commit: str
    path: str
    collection: str
    terms: str
    patient: str
    series_uid: str
    scanner: str
    slices: int


def lines_of(slices: Iterable[TakenSlice], collections: Mapping[str, Collection]) -> list[SourceLine]:
    """One line a series and repository, in the order in which they were taken."""
    series: dict[tuple[str, str], list[TakenSlice]] = {}
    for item in slices:
        series.setdefault((item.repository, item.series_uid), []).append(item)
    lines = []
    for items in series.values():
        first = items[0]
        about = collections[first.collection]
        folder = os.path.commonpath([os.path.dirname(item.path) for item in items])  # noqa: PTH120  not a path here
        lines.append(
            SourceLine(
                first.repository,
                first.commit,
                folder,
                about.title,
                about.terms,
                first.patient,
                first.series_uid,
                first.scanner,
                len(items),
            )
        )
    return lines


def shelf_line(entry: ShelfFolder, files: Sequence[Path], collections: Mapping[str, Collection]) -> SourceLine:
    """The line of a series of the tests' real CT."""
    about = collections[entry.collection] if entry.collection else Collection("", entry.terms, "")
    data = dcmread(files[0], stop_before_pixels=True, force=True)
    return SourceLine(
        entry.repository,
        "",
        entry.folder,
        about.title,
        about.terms,
        str(data.get("PatientID") or ""),
        str(data.get("SeriesInstanceUID") or ""),
        scanner_of(data),
        len(files),
    )


def write_boxes(path: Path, boxes: Iterable[SliceBox]) -> None:
    """The table that `slicebank pretrain cache --boxes` reads, ordered by slice."""
    _write(path, SliceBox, (astuple(box) for box in sorted(boxes)))


def write_sources(path: Path, lines: Iterable[SourceLine]) -> None:
    """Where every series comes from."""
    _write(path, SourceLine, (astuple(line) for line in lines))


def _write(path: Path, kind: type[SliceBox] | type[SourceLine], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow([field.name for field in fields(kind)])
        table.writerows([f"{value:g}" if isinstance(value, float) else value for value in row] for row in rows)
