"""Gathers the CT and its lesion boxes: `python -m benchmarks.shipped_encoder.collect --checkouts DIR --out FOLDER [--shelf CT]`."""

from __future__ import annotations

import argparse
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from benchmarks.shipped_encoder import lidc, lung_pet_ct_dx, qin_seg
from benchmarks.shipped_encoder.axial_slices import TakenSlice, read_dicom, reason_against, taken
from benchmarks.shipped_encoder.boxes import BoxReader, SliceBox
from benchmarks.shipped_encoder.checkouts import Checkout, CheckoutProblem, CommittedFile, open_checkout
from benchmarks.shipped_encoder.sources import (
    BoxRepository,
    Collection,
    ShelfFolder,
    SliceRepository,
    Sources,
    read_sources,
)
from benchmarks.shipped_encoder.tables import SourceLine, lines_of, shelf_line, write_boxes, write_sources

READERS: dict[str, BoxReader] = {
    "lidc": lidc.read_boxes,
    "lung_pet_ct_dx": lung_pet_ct_dx.read_boxes,
    "qin_seg": qin_seg.read_boxes,
}
SMALLEST = 40_000  # bytes; no CT slice of these repositories is smaller


def main() -> None:
    """Gathers what sources.toml names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shipped_encoder.collect", description=__doc__)
    parser.add_argument("--checkouts", type=Path, required=True, help="clones, called OWNER+NAME or OWNER/NAME")
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument("--shelf", type=Path, help="the folder ct of the tests' real CT")
    arguments = parser.parse_args()
    try:
        collect(read_sources(), arguments.checkouts, arguments.out, arguments.shelf)
    except (CheckoutProblem, OSError) as problem:
        parser.error(str(problem))


def collect(sources: Sources, checkouts: Path, out: Path, shelf: Path | None) -> None:
    """Checks that everything is there, then gathers it; what differs from the recorded counts is said.

    Args:
        sources: What to gather.
        checkouts: Folder of clones.
        out: A new or empty folder.
        shelf: Folder of the tests' real CT; None leaves it out.

    Raises:
        CheckoutProblem: A clone is missing or lacks its commit.
        OSError: The folder is not empty, or the shelf lacks a series.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty")
    clones = {
        (entry.repository, entry.commit): open_checkout(checkouts, entry.repository, entry.commit)
        for entry in sources.repositories
    }
    if missing := [entry.folder for entry in sources.shelf if shelf and not (shelf / entry.folder).is_dir()]:
        raise FileNotFoundError(f"{shelf} lacks {', '.join(missing)}")
    out.mkdir(parents=True, exist_ok=True)
    slices: dict[str, TakenSlice] = {}
    for entry in sources.slices:
        before = len(slices)
        clone = clones[entry.repository, entry.commit]
        reasons = take_slices(clone, entry, sources.collections[entry.collection], out, slices)
        _say(f"{entry.collection} from {entry.repository}", len(slices) - before, entry.slices, "slices", reasons)
    boxes: list[SliceBox] = []
    for annotated in sources.boxes:
        clone = clones[annotated.repository, annotated.commit]
        found, reasons = find_boxes(clone, annotated, list(slices.values()))
        _say(f"{annotated.reader} from {annotated.repository}", len(found), annotated.boxes, "boxes", reasons)
        boxes += found
    lines = lines_of(slices.values(), sources.collections)
    if shelf:
        for series in sources.shelf:
            line = take_shelf(shelf, series, sources.collections, out)
            _say(f"shelf: {series.name}", line.slices, series.slices, "slices", Counter())
            lines.append(line)
    write_boxes(out / "boxes.csv", boxes)
    write_sources(out / "sources.csv", lines)
    boxed = len({box.sop_instance_uid for box in boxes})
    print(f"{sum(line.slices for line in lines)} slices in {len(lines)} series; {len(boxes)} boxes on {boxed} slices")


def take_slices(
    checkout: Checkout, entry: SliceRepository, collection: Collection, out: Path, slices: dict[str, TakenSlice]
) -> Counter[str]:
    """Takes the slices of one repository.

    Args:
        checkout: Its clone.
        entry: What is read.
        collection: What it should hold.
        out: Where files go.
        slices: All that were taken so far by SOPInstanceUID; those of the repository are added.

    Returns:
        Why others were not taken.
    """
    reasons: Counter[str] = Counter()
    with checkout.reading() as contents:
        for file in checkout.files(entry.path):
            if file.size is None:
                reasons["not in the clone"] += 1
                continue
            if file.size < SMALLEST or not _may_be_dicom(file):
                continue
            content = contents.read(file)
            data = read_dicom(content)
            reason = "unreadable" if data is None else reason_against(data, collection.title)
            if data is not None and not reason and str(data.SOPInstanceUID) in slices:
                reason = "taken before"
            if data is None or reason:
                reasons[reason] += 1
                continue
            item = taken(
                data,
                collection=entry.collection,
                repository=entry.repository,
                commit=entry.commit,
                path=file.path,
            )
            slices[item.sop_instance_uid] = item
            place = out / item.collection / _plain(item.patient) / _plain(item.series_uid)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{_plain(item.sop_instance_uid)}.dcm").write_bytes(content)
    return reasons


def find_boxes(
    checkout: Checkout, annotations: BoxRepository, slices: Sequence[TakenSlice]
) -> tuple[list[SliceBox], Counter[str]]:
    """Boxes of one repository's annotations on slices of their collection, and why files were not read."""
    reasons: Counter[str] = Counter()

    def contents() -> Iterator[tuple[str, bytes]]:
        with checkout.reading() as reader:
            for file in checkout.files(annotations.path):
                if not fnmatchcase(file.path, annotations.pattern):
                    continue
                if file.blob in annotations.left_out:
                    reasons["left out by name"] += 1
                elif file.size is None:
                    reasons["not in the clone"] += 1
                else:
                    yield file.path, reader.read(file)

    about = [item for item in slices if item.collection == annotations.collection]
    return READERS[annotations.reader](contents(), about), reasons


def take_shelf(shelf: Path, entry: ShelfFolder, collections: Mapping[str, Collection], out: Path) -> SourceLine:
    """Copies one series of the tests' real CT whole."""
    place = out / "shelf" / entry.name
    place.mkdir(parents=True)
    files = sorted(path for path in (shelf / entry.folder).iterdir() if path.is_file())
    for path in files:
        shutil.copyfile(path, place / path.name)
    return shelf_line(entry, files, collections)


def _say(name: str, found: int, recorded: int, what: str, reasons: Counter[str]) -> None:
    """A line a source: how much, what was left out, and whether that is what sources.toml says."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    print(f"{name}: {found} {what}" + (f"; left out: {left_out}" if left_out else ""), flush=True)
    if found != recorded:
        print(f"  DIFFERS: sources.toml says {recorded} {what}", flush=True)


def _may_be_dicom(file: CommittedFile) -> bool:
    name = PurePosixPath(file.path).name.lower()
    return name.endswith((".dcm", ".ima")) or "." not in name


def _plain(name: str) -> str:
    """An identifier as the name of a folder or file, whatever a header holds."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


if __name__ == "__main__":
    main()
