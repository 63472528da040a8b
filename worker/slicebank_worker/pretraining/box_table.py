"""A table of lesion boxes: which slice, where in it. Column names and delimiters are taken as people write them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox
from slicebank_worker.pretraining.left_out import LeftOut

# Names as people write them, without case, spaces and punctuation.
_NAMES = {
    "sop_instance_uid": ("sopinstanceuid", "sopuid", "instanceuid", "sop", "imageuid"),
    "series_uid": ("seriesuid", "seriesinstanceuid", "series"),
    "instance_number": ("instancenumber", "instance", "imagenumber"),
    "file": ("file", "filename", "path", "filepath", "image", "imagepath"),
    "frame": ("frame", "framenumber"),
    "x_min": ("xmin", "x1", "x0", "x", "left", "columnmin", "columnstart"),
    "y_min": ("ymin", "y1", "y0", "y", "top", "rowmin", "rowstart"),
    "x_max": ("xmax", "x2", "right", "columnmax", "columnstop"),
    "y_max": ("ymax", "y2", "bottom", "rowmax", "rowstop"),
    "width": ("width", "w"),
    "height": ("height", "h"),
    "label": ("label", "class", "lesiontype", "type"),
    "patient": ("patient", "patientid", "subject", "case"),
}
_NEEDED = (
    "sop_instance_uid (or series_uid and instance_number, or file), x_min, y_min, x_max and y_max; label, patient and frame "
    "are optional"
)


@dataclass(frozen=True, slots=True)
class SliceKey:
    """What a slice is called by.

    Attributes:
        sop_instance_uid: As in the file, or as the store names it.
        series_uid: The same.
        instance_number: None where unknown.
        file: Path below the source, with slashes; empty where there is none.
        frame: 1-based.
        frames: In the file.
    """

    sop_instance_uid: str
    series_uid: str
    instance_number: int | None
    file: str = ""
    frame: int = 1
    frames: int = 1


@dataclass(frozen=True, slots=True)
class BoxRow:
    """One row.

    Attributes:
        line: Of the file, from 1.
        box: Pixels.
        label: Empty where there is none.
        patient: Empty where there is none.
        frame: 1-based; None where not given.
        name: What the row calls its slice, for messages.
    """

    line: int
    box: LesionBox
    label: str
    patient: str
    frame: int | None
    name: str


class BoxTable:
    """The rows of a table, found by what they call their slice. One table may serve several sources.

    Args:
        path: A CSV file: UTF-8 with or without byte order mark, or Latin-1; comma, semicolon or tab between the fields.

    Raises:
        SourceProblem: It cannot be read, lacks columns, or has no usable row.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.users = 0
        self._ended = 0
        self._left_out = LeftOut()
        self._rows: dict[tuple[str, ...], list[BoxRow]] = {}
        self._by_name: dict[str, set[str]] = {}
        self._matched: set[int] = set()
        self._ambiguous: set[int] = set()
        self._read(path)
        if not self._rows:
            reasons = " ".join(self._left_out.sentences()[:3])
            raise SourceProblem(f"{path.name} has no usable row. {reasons}".rstrip())

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def of(self, key: SliceKey) -> list[BoxRow]:
        """The rows of a slice; they count as matched."""
        found = []
        for row in self._candidates(key):
            if row.frame is None and key.frames > 1:
                self._ambiguous.add(row.line)
            elif row.frame is None or row.frame == key.frame:
                self._matched.add(row.line)
                found.append(row)
        return found

    def also_by(self, rename: Callable[[str], str]) -> None:
        """Lets every row be found by other UIDs too, those of a store that hashes them."""
        for key, rows in list(self._rows.items()):
            if key[0] != "file":
                self._rows.setdefault((key[0], rename(key[1]), *key[2:]), rows)

    def any_match(self, keys: Iterable[SliceKey]) -> bool:
        """Whether some row names one of these slices, as far as needs be looked; nothing counts as matched."""
        return any(any(self._candidates(key)) for key in keys)

    def patient_of(self, keys: Iterable[SliceKey]) -> str:
        """The patient that a row names for one of these slices of one series; empty where none does."""
        return next((row.patient for key in keys for row in self._candidates(key) if row.patient), "")

    def end_source(self) -> tuple[str, ...]:
        """What is to be said when a source has ended: after the last one, of all rows that were not used.

        Raises:
            SourceProblem: No row names a slice of any source.
        """
        self._ended += 1
        if self._ended < self.users:
            return ()
        if not self._matched and not self._ambiguous:
            raise self.no_match()
        for rows in self._rows.values():
            for row in rows:
                if row.line in self._ambiguous and row.line not in self._matched:
                    self._left_out.add(
                        f"{self.name}, line {row.line}: {row.name} has several frames: add a column frame."
                    )
                elif row.line not in self._matched:
                    self._left_out.add(f"{self.name}, line {row.line}: no slice {row.name} was found.")
        return self._left_out.sentences()

    def no_match(self, example: str = "") -> SourceProblem:
        """What to raise where no row names a slice; `example` is what a slice is called."""
        first = next(iter(self._rows.values()))[0]
        there = f"; the slices are called such as {example}" if example else ""
        return SourceProblem(
            f"None of the {len(self)} rows of {self.name} names a slice that is there: line {first.line} names {first.name}"
            f"{there}. See that table and slices are of one export (anonymisers change UIDs)."
        )

    def _candidates(self, key: SliceKey) -> Iterator[BoxRow]:
        yield from self._rows.get(("sop", key.sop_instance_uid), ())
        if key.instance_number is not None:
            yield from self._rows.get(("instance", key.series_uid, str(key.instance_number)), ())
        if key.file:
            yield from self._rows.get(("file", key.file), ())
            base = PurePosixPath(key.file).name
            # A bare name, or a path that begins elsewhere, counts where it ends as the slice's own does.
            for path in self._by_name.get(base, ()):
                if path != key.file and (key.file.endswith(f"/{path}") or path.endswith(f"/{key.file}")):
                    yield from self._rows[("file", path)]

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceProblem(f"{path.name} cannot be read: {error.strerror}.") from error
        try:
            text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        header = next((line for line in io.StringIO(text) if line.strip()), "")
        delimiter = max(",;\t", key=header.count)
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            columns: dict[str, int] | None = None
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                if columns is None:
                    columns = _columns(fields, path.name)
                else:
                    self._take(columns, fields, reader.line_num, decimal_comma=delimiter == ";")
        except csv.Error as error:
            raise SourceProblem(f"{path.name} is no table: {error}.") from error
        if columns is None:
            raise SourceProblem(f"{path.name} is empty; its columns must be {_NEEDED}.")

    def _take(self, columns: dict[str, int], fields: Sequence[str], line: int, *, decimal_comma: bool) -> None:
        values = {name: fields[place].strip() if place < len(fields) else "" for name, place in columns.items()}
        where = f"{self.name}, line {line}"
        found = _key(values)
        if found is None:
            self._left_out.add(f"{where} names no slice.")
            return
        key, name = found
        edges = {}
        for edge in ("x_min", "y_min", "x_max", "y_max", "width", "height"):
            if edge in values:
                number = _number(values[edge].replace(",", ".") if decimal_comma else values[edge])
                if number is None:
                    self._left_out.add(f"{where}: {edge} is {values[edge]!r:.40}, not a number.")
                    return
                edges[edge] = number
        left, top = edges["x_min"], edges["y_min"]
        right = edges["x_max"] if "x_max" in edges else left + edges["width"]
        bottom = edges["y_max"] if "y_max" in edges else top + edges["height"]
        if right <= left or bottom <= top:
            self._left_out.add(f"{where}: x {left:g} to {right:g}, y {top:g} to {bottom:g} is no box.")
            return
        frame = _number(values.get("frame", ""))
        row = BoxRow(
            line,
            LesionBox(top, left, bottom, right),
            values.get("label", ""),
            values.get("patient", ""),
            None if frame is None else int(frame),
            name,
        )
        self._rows.setdefault(key, []).append(row)
        if key[0] == "file":
            self._by_name.setdefault(PurePosixPath(key[1]).name, set()).add(key[1])


def _columns(header: Sequence[str], table: str) -> dict[str, int]:
    plain = [re.sub(r"[^a-z0-9]", "", field.lower()) for field in header]
    columns: dict[str, int] = {}
    for name, aliases in _NAMES.items():
        place = next((plain.index(alias) for alias in aliases if alias in plain), None)
        if place is not None:
            columns[name] = place
    identified = (
        "sop_instance_uid" in columns or "file" in columns or {"series_uid", "instance_number"} <= columns.keys()
    )
    corners = {"x_min", "y_min"} <= columns.keys()
    ends = ("x_max" in columns or "width" in columns) and ("y_max" in columns or "height" in columns)
    if not (identified and corners and ends):
        raise SourceProblem(f"{table} has the columns {', '.join(header)[:200]}; it must have {_NEEDED}.")
    # Where both are there, the corner counts.
    for corner, size in (("x_max", "width"), ("y_max", "height")):
        if corner in columns:
            columns.pop(size, None)
    return columns


def _key(values: dict[str, str]) -> tuple[tuple[str, ...], str] | None:
    """The first of the ways to name a slice that a row has a value for."""
    if sop := values.get("sop_instance_uid"):
        return ("sop", sop), sop
    if (series := values.get("series_uid")) and (number := _number(values.get("instance_number", ""))) is not None:
        return ("instance", series, str(int(number))), f"{int(number)} of series {series}"
    if file := values.get("file"):
        path = str(PurePosixPath(file.replace("\\", "/")))
        return ("file", path), path
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
