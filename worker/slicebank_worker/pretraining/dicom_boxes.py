"""CT series in folders and archives of DICOM files, with boxes from a table."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.errors import ImagingError
from slicebank_imaging.file_header import FileHeader
from slicebank_imaging.grouping import CTSeries, group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.pixels import CTSlice, SliceLoader
from slicebank_imaging.slices import SliceRef
from slicebank_imaging.stacks import Stack
from slicebank_imaging.unpack import RejectedMember, UnpackLimits, recognise, unpack
from slicebank_models.errors import SourceProblem
from slicebank_models.pretraining.slice_source import SourceSlice
from slicebank_worker.pretraining.box_table import BoxTable, SliceKey
from slicebank_worker.pretraining.decoding import in_order
from slicebank_worker.pretraining.left_out import LeftOut

_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a source.

    Attributes:
        name: What the source calls it: its path below the source, with slashes.
        place: Where it lies below the folder that is read.
    """

    name: str
    place: str


class DicomSource:
    """All axial CT series below a folder, or in archives there; each phase of a series is one of its own.

    Every folder directly below is read by itself, so that memory does not grow with the number of patients; a series should
    not be spread over several.

    Args:
        path: A folder, or an archive (zip, tar, also compressed).
        boxes: Of any number of slices; those without stay in as context.
        options: What is asserted of files whose headers do not say it.
        workers: Threads.

    Raises:
        SourceProblem: There is no file.
    """

    name = "dicom"

    def __init__(
        self, path: Path, *, boxes: BoxTable | None = None, options: ImportOptions | None = None, workers: int
    ) -> None:
        self._path = path
        self._boxes = boxes
        self._options = options or ImportOptions()
        self._workers = workers
        self._left_out = LeftOut()
        self._files = sum(1 for _ in files_below(path)) if path.is_dir() else 1
        if not self._files:
            raise SourceProblem(f"{path} holds no file.")

    def __len__(self) -> int:
        return self._files

    @property
    def left_out(self) -> tuple[str, ...]:
        """Files that are no CT, series that are not axial, slices that cannot be decoded, and boxes without a slice."""
        return self._left_out.sentences()

    def slices(self) -> Iterator[SourceSlice]:
        """Yields series after series, from inferior to superior.

        Raises:
            SourceProblem: Rows of boxes are given, and none names a slice.
        """
        self._left_out = LeftOut()
        if self._boxes is not None and self._boxes.users == 1:
            self._require_match(self._boxes)
        for folder, files in self._groups():
            yield from self._group(folder, files)
        if self._boxes is not None:
            for sentence in self._boxes.end_source():
                self._left_out.add(sentence)

    def _group(self, folder: Path, files: list[FoundFile]) -> Iterator[SourceSlice]:
        headers: dict[str, FileHeader] = {}
        names = {file.place: file.name for file in files}
        for file, header in in_order(partial(self._read_header, folder), files, self._workers):
            if isinstance(header, FileHeader):
                headers[file.place] = header
            else:
                self._left_out.add(f"{file.name}: {header}")
        grouping = group_series(list(headers.values()), self._options)
        for refused in grouping.refused:
            self._left_out.add(f"{names[refused.file]}: {refused.detail}")
        for series in grouping.series:
            for stack in series.stacks:
                if stack.axial:
                    yield from self._stack(folder, series, stack, headers, names)
                else:
                    self._left_out.add(f"{stack.geometry['n_slices']} slices of {series.series_uid} are not axial")

    def _stack(
        self, folder: Path, series: CTSeries, stack: Stack, headers: dict[str, FileHeader], names: dict[str, str]
    ) -> Iterator[SourceSlice]:
        loader = SliceLoader(folder)
        keys = [
            SliceKey(
                ref.sop_instance_uid,
                headers[ref.file].series_uid or series.series_uid,
                ref.instance_number,
                names[ref.file],
                ref.frame_number,
                len(headers[ref.file].frames),
            )
            for ref in stack.slices
        ]
        given = self._boxes.patient_of(keys) if self._boxes is not None else ""
        patient = pseudonym(given or series.patient_id or series.study_uid)
        name = series.series_uid if stack.stack == series.default_stack else f"{series.series_uid}.stack{stack.stack}"
        spacing = stack.geometry["pixel_spacing_mm"]
        decoded = in_order(partial(load_hu, loader.load), stack.slices, self._workers)
        for position, (key, hu) in enumerate(zip(keys, decoded, strict=True)):
            rows = self._boxes.of(key) if self._boxes is not None else []
            if isinstance(hu, str):
                self._left_out.add(f"{key.file}: {hu}")
                continue
            yield SourceSlice(
                hu,
                patient,
                name,
                position,
                tuple(row.box for row in rows),
                next((row.label for row in rows if row.label), ""),
                float(spacing[1]) if spacing else 0.0,
            )

    def _read_header(self, folder: Path, file: FoundFile) -> tuple[FoundFile, FileHeader | str]:
        try:
            header = read_file_header(folder / file.place, file=file.place, name=file.name, options=self._options)
        except ImagingError as error:
            return file, error.detail
        return file, header

    def _require_match(self, boxes: BoxTable) -> None:
        """Looks for the first slice that a row names, reading headers alone, so that a wrong table is told early."""
        from pydicom import dcmread

        tags = ["SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber"]
        example = ""
        for folder, files in self._groups():
            for file in files:
                try:
                    with (folder / file.place).open("rb") as stream:
                        data = dcmread(stream, stop_before_pixels=True, specific_tags=tags, force=True)
                    number = data.get("InstanceNumber")
                    key = SliceKey(
                        str(data.get("SOPInstanceUID", "")),
                        str(data.get("SeriesInstanceUID", "")),
                        None if number is None else int(number),
                        file.name,
                    )
                except Exception:  # noqa: BLE001, S112  pydicom raises anything; such files are named when they are read
                    continue
                if boxes.any_match([key]):
                    return
                example = example or key.sop_instance_uid
        raise boxes.no_match(example)

    def _groups(self) -> Iterator[tuple[Path, list[FoundFile]]]:
        """Files by folder directly below the source, then archives one by one; each with the folder to read them in."""
        if not self._path.is_dir():
            with self._unpacked(self._path, "") as group:
                yield group
            return
        grouped: dict[str, list[FoundFile]] = {}
        archives: list[str] = []
        for name in files_below(self._path):
            try:
                archive = recognise(self._path / name) is not None
            except OSError:
                archive = False  # what is wrong with it is told when its header is read
            if archive:
                archives.append(name)
            else:
                top, slash, _ = name.partition("/")
                grouped.setdefault(top if slash else "", []).append(FoundFile(name, name))
        for _, files in sorted(grouped.items()):
            yield self._path, files
        for name in archives:
            with self._unpacked(self._path / name, f"{name}/") as group:
                yield group

    @contextmanager
    def _unpacked(self, archive: Path, prefix: str) -> Iterator[tuple[Path, list[FoundFile]]]:
        kind = recognise(archive)
        if kind is None:  # one DICOM file
            yield archive.parent, [FoundFile(archive.name, archive.name)]
            return
        with tempfile.TemporaryDirectory(prefix="slicebank-") as scratch:
            files: list[FoundFile] = []
            try:
                with closing(unpack(archive, kind, Path(scratch), UnpackLimits(), name=archive.name)) as members:
                    for member in members:
                        if isinstance(member, RejectedMember):
                            self._left_out.add(f"{prefix}{member.name}: {member.detail}")
                        else:
                            files.append(FoundFile(f"{prefix}{member.name}", member.file))
            except ImagingError as error:
                self._left_out.add(f"{archive.name}: {error.detail}")
            yield Path(scratch), files


def pseudonym(identity: str) -> str:
    """What a patient is called while slices are read: the same for the same identity, whatever the source."""
    return hashlib.sha256(f"slicebank pre-training patient {identity.strip()}".encode()).hexdigest()


def load_hu(load: Callable[[SliceRef], CTSlice], ref: SliceRef) -> NDArray[np.int16] | str:
    """One slice as int16 HU, fractions rounded and what is beyond int16 clipped; a sentence where it cannot be decoded."""
    try:
        hu = load(ref).hounsfield()
    except ImagingError as error:
        return error.detail
    whole: NDArray[np.int16] = np.clip(np.rint(hu), _INT16.min, _INT16.max).astype(np.int16)
    return whole


def files_below(folder: Path) -> Iterator[str]:
    """Paths below a folder, with slashes, in order; hidden files and folders are passed over."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield (Path(root) / name).relative_to(folder).as_posix()
