"""DeepLesion as the NIH publishes it: 16-bit PNG slices and DL_info.csv.

Yan et al., "DeepLesion: automated mining of large-scale lesion annotations and universal lesion detection with deep learning",
J. Med. Imaging 5(3), 2018. https://nihcc.app.box.com/v/DeepLesion
"""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice
from slicebank_worker.pretraining.decoding import in_order
from slicebank_worker.pretraining.left_out import LeftOut

IMAGES, TABLE = "Images_png", "DL_info.csv"
STORED_ZERO = 32768  # HU 0, in a PNG
COARSE_TYPES = {
    1: "bone",
    2: "abdomen",
    3: "mediastinum",
    4: "liver",
    5: "lung",
    6: "kidney",
    7: "soft tissue",
    8: "pelvis",
}
_COLUMNS = ("File_name", "Key_slice_index", "Bounding_boxes", "Train_Val_Test")
_SERIES = re.compile(r"(\d{6})_\d{2}_\d{2}")
_SLICE = re.compile(r"(\d{3,5})\.png", re.IGNORECASE)


class Split(StrEnum):
    """The official parts of the data set, by patient."""

    TRAIN = "train"
    VALIDATION = "val"
    TEST = "test"


_SPLITS = {1: Split.TRAIN, 2: Split.VALIDATION, 3: Split.TEST}


@dataclass(slots=True)
class _Key:
    """What the table says of one slice."""

    boxes: list[LesionBox] = field(default_factory=list)
    label: str = ""


@dataclass(slots=True)
class _Table:
    """What the table says: slices by series and number, pixel sizes of series, splits of patients."""

    keys: dict[tuple[str, int], _Key] = field(default_factory=dict)
    pixel_mm: dict[str, float] = field(default_factory=dict)
    splits: dict[str, set[Split]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True, slots=True)
class _Png:
    path: Path
    patient: str
    series: str
    number: int
    position: int


def find_deeplesion(folder: Path) -> tuple[Path, Path] | None:
    """The folder of series and the table of an unpacked DeepLesion; None where `folder` is none.

    `Images_png` may be inside itself, as unpackers leave it, and the table may have a name such as `DL_info_test.csv`.
    """
    for images in (folder / IMAGES / IMAGES, folder / IMAGES):
        if images.is_dir():
            tables = sorted(folder.glob("[Dd][Ll]_info*.csv"))
            exact = [table for table in tables if table.name.lower() == TABLE.lower()]
            if len(exact) == 1 or len(tables) == 1:
                return images, (exact or tables)[0]
            found = "none" if not tables else ", ".join(table.name for table in tables)
            raise SourceProblem(
                f"{folder} looks like DeepLesion and needs one {TABLE} beside {IMAGES}; there is {found}."
            )
    return None


class DeepLesionSource:
    """All slices of some official parts, with the boxes of the key slices.

    A patient of whom the table says nothing is left out, since it may be one to test on; so is one in several parts.
    DeepLesion counts a series' slices from superior to inferior.

    Args:
        folder: With `Images_png` and `DL_info.csv`.
        splits: Parts to take.
        workers: Threads.

    Raises:
        SourceProblem: The folder or the table is another than published.
    """

    def __init__(self, folder: Path, *, splits: Collection[Split] = (Split.TRAIN,), workers: int) -> None:
        found = find_deeplesion(folder)
        if found is None:
            raise SourceProblem(f"{folder} has no folder {IMAGES}: unpack DeepLesion's Images_png_*.zip there.")
        images, table = found
        # The parts go into the record of every run.
        self.name = f"deeplesion {'+'.join(part for part in Split if part in splits)}"
        self._workers = workers
        self._left_out = LeftOut()
        self._table = _read_table(table, self._left_out)
        self._pngs = self._find(images, frozenset(splits))

    def __len__(self) -> int:
        return len(self._pngs)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Patients of other parts, rows and files that cannot be read, and boxes without their slice."""
        return self._left_out.sentences()

    def slices(self) -> Iterator[SourceSlice]:
        """Yields series after series, from inferior to superior."""
        for png, hu in in_order(_decode, self._pngs, self._workers):
            if isinstance(hu, str):
                self._left_out.add(f"{png.series}/{png.path.name} {hu}.")
                continue
            key = self._table.keys.get((png.series, png.number), _Key())
            yield SourceSlice(
                hu,
                f"deeplesion-{png.patient}",
                png.series,
                png.position,
                tuple(key.boxes),
                key.label,
                self._table.pixel_mm.get(png.series, 0.0),
            )

    def _find(self, images: Path, splits: frozenset[Split]) -> list[_Png]:
        pngs: list[_Png] = []
        other: dict[str, int] = defaultdict(int)
        expected = {key for key in self._table.keys if self._table.splits[key[0][:6]] <= splits}
        for folder in sorted(path for path in images.iterdir() if path.is_dir()):
            matched = _SERIES.fullmatch(folder.name)
            if matched is None:
                self._left_out.add(f"{folder.name} is no series of DeepLesion: its name is not like 000001_01_01.")
                continue
            own = self._table.splits.get(matched[1], set())
            if not own or not own <= splits:
                other[" and ".join(sorted(own)) or "no part that the table names"] += 1
                continue
            named = ((path, _SLICE.fullmatch(path.name)) for path in folder.iterdir())
            slices = sorted((int(found[1]), path) for path, found in named if found is not None)
            top = slices[-1][0] if slices else 0
            pngs += [_Png(path, matched[1], folder.name, number, top - number) for number, path in reversed(slices)]
        for part, count in sorted(other.items()):
            self._left_out.add(f"{count} series of {part}: not of {', '.join(sorted(splits))}.")
        for series, number in sorted(expected - {(png.series, png.number) for png in pngs}):
            self._left_out.add(f"The key slice {number} of {series} is not there, so its boxes are not used.")
        if not pngs:
            raise SourceProblem(
                f"{images} has no slice of {', '.join(sorted(splits))}. {' '.join(self._left_out.sentences()[:3])}"
            )
        return pngs


def _read_table(path: Path, left_out: LeftOut) -> _Table:
    table = _Table()
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.DictReader(file)
            missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise SourceProblem(f"{path.name} has no column {', '.join(missing)}: it is not DeepLesion's table.")
            for row in rows:
                _take_row(table, row, f"{path.name}, line {rows.line_num}", left_out)
    except (OSError, csv.Error) as error:
        raise SourceProblem(f"{path.name} cannot be read: {error}.") from error
    return table


def _take_row(table: _Table, row: dict[str, str | None], where: str, left_out: LeftOut) -> None:
    series = (row["File_name"] or "").strip()[:12]
    split, number = _whole(row["Train_Val_Test"]), _whole(row["Key_slice_index"])
    if _SERIES.fullmatch(series) is None or split not in _SPLITS or number is None:
        left_out.add(f"{where} names no series, slice and part as published.")
        return
    table.splits[series[:6]].add(_SPLITS[split])
    numbers = _numbers(row["Bounding_boxes"])
    spacing = _numbers(row.get("Spacing_mm_px_"))
    if spacing and spacing[0] > 0:
        table.pixel_mm[series] = spacing[0]
    key = table.keys.setdefault((series, number), _Key())
    coarse = _numbers(row.get("Coarse_lesion_type"))
    if coarse and not key.label:
        key.label = COARSE_TYPES.get(int(coarse[0]), "")
    if _numbers(row.get("Possibly_noisy")) == [1.0]:
        left_out.add(f"{where} is marked as possibly noisy; its box is not used.")
    elif len(numbers) != 4 or numbers[2] < numbers[0] or numbers[3] < numbers[1]:
        left_out.add(f"{where} has no box x1, y1, x2, y2.")
    else:
        # The table counts pixels from 1, and its last ones belong to the box.
        x1, y1, x2, y2 = numbers
        key.boxes.append(LesionBox(y1 - 1.0, x1 - 1.0, y2, x2))


def _numbers(text: str | None) -> list[float]:
    """Numbers with commas between them; none where one is not finite or no number."""
    try:
        values = [float(part) for part in (text or "").split(",")]
    except ValueError:
        return []
    return values if all(math.isfinite(value) for value in values) else []


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _decode(png: _Png) -> tuple[_Png, NDArray[np.int16] | str]:
    try:
        with Image.open(png.path) as image:
            if image.format != "PNG" or not image.mode.startswith("I"):
                return png, "is no 16-bit grey PNG"
            stored = np.asarray(image).astype(np.int32)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return png, f"cannot be read ({type(error).__name__})"
    return png, (stored - STORED_ZERO).astype(np.int16)
