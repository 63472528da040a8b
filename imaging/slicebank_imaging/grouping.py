"""Files of one upload as CT series and stacks, by the CT rules; one bad file never spoils a series."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.errors import DuplicateSlice, ImagingError, NoPosition, NotAxial, SeriesRefused, TooManySlices
from slicebank_imaging.file_header import FileHeader, FrameHeader
from slicebank_imaging.geometry import Duplicates, Source
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.options import ImportOptions
from slicebank_imaging.placement import (
    AXIAL,
    SAME_POSITION_MM,
    Orientation,
    PlacedSlice,
    normal_of,
    same_orientation,
    slice_digest,
    split_phases,
)
from slicebank_imaging.stacks import Stack, is_axial, make_stack
from slicebank_imaging.tags import IMAGE_ORIENTATION_PATIENT, IMAGE_POSITION_PATIENT, label
from slicebank_imaging.uids import derived_uid


@dataclass(frozen=True, slots=True)
class CTSeries:
    """One CT series of an upload.

    Attributes:
        derived_uids: Whether study, series or instance UIDs were missing and derived from content.
        patient_id: As written; never to be stored in clear.
        stacks: Best first: axial before others, then by size.
        warnings: Sentences for the sender.
    """

    series_uid: str
    study_uid: str
    derived_uids: bool
    patient_id: str
    patient_sex: str
    body_part: str
    stacks: tuple[Stack, ...]
    warnings: tuple[str, ...]

    @property
    def default_stack(self) -> int:
        """The largest axial stack (tie: lowest acquisition number, then acquisition time, then SOP instance UID)."""
        return next(stack.stack for stack in self.stacks if stack.axial)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file, or one frame of it, that is in no series, and why; `tag` as in `ImagingError`."""

    file: str
    code: str
    detail: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class SeriesVerdict:
    """A series of which nothing was taken, and why.

    Attributes:
        series_uid: Empty where the files have none.
        tag: As in `ImagingError`.
        n_files: Files of this upload that name the series.
    """

    series_uid: str
    code: str
    detail: str
    tag: str | None
    n_files: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """What one upload holds.

    Attributes:
        refused: Files and frames that are in no series; those of refused series are among them.
        refused_series: Series of which nothing was taken.
    """

    series: tuple[CTSeries, ...]
    refused: tuple[Refusal, ...]
    refused_series: tuple[SeriesVerdict, ...]


DEFAULT_LIMITS = IntakeLimits()

_Pair = tuple[FileHeader, FrameHeader]


def group_series(
    headers: Sequence[FileHeader], options: ImportOptions, limits: IntakeLimits = DEFAULT_LIMITS
) -> Grouping:
    """Group accepted files into series and stacks.

    Files without SeriesInstanceUID form a series where they share folder, matrix and orientation.
    """
    groups: dict[tuple[object, ...], list[_Pair]] = {}
    for header in headers:
        for frame in header.frames:
            groups.setdefault(_series_key(header, frame), []).append((header, frame))
    series: list[CTSeries] = []
    refused: list[Refusal] = []
    verdicts: list[SeriesVerdict] = []
    for pairs in groups.values():
        files = sorted({frame.file for _, frame in pairs})
        before = len(refused)
        try:
            if len(pairs) > limits.max_slices:
                raise TooManySlices(
                    f"the series holds {len(pairs)} slices; at most {limits.max_slices} are taken: send it in parts"
                )
            series.append(_series(pairs, options, refused))
        except SeriesRefused as error:
            verdicts.append(SeriesVerdict(pairs[0][0].series_uid, error.code, error.detail, error.tag, len(files)))
            told = {item.file for item in refused[before:]}
            refused += [Refusal(file, error.code, error.detail, error.tag) for file in files if file not in told]
    return Grouping(tuple(sorted(series, key=lambda item: item.series_uid)), tuple(refused), tuple(verdicts))


def _series_key(header: FileHeader, frame: FrameHeader) -> tuple[object, ...]:
    if header.series_uid:
        return (header.series_uid,)
    orientation = None if frame.orientation is None else tuple(round(value, 2) + 0.0 for value in frame.orientation)
    return (header.study_uid, header.folder, frame.rows, frame.columns, orientation)


def _refusal(frame: FrameHeader, error: ImagingError) -> Refusal:
    where = f" (frame {frame.frame_number})" if frame.frame_number > 1 else ""
    return Refusal(frame.file, error.code, error.detail + where, error.tag)


def _series(pairs: list[_Pair], options: ImportOptions, refused: list[Refusal]) -> CTSeries:
    """One series from its slices; refusals of single slices are appended.

    Raises:
        NoPosition: no slice has a place.
        NotAxial: no stack is axial.
    """
    unique: dict[str, _Pair] = {}
    copies: Counter[str] = Counter()
    for header, frame in sorted(pairs, key=lambda pair: (pair[1].file, pair[1].frame_number)):
        digest = slice_digest(header, frame, options)
        if digest in unique:
            twin = DuplicateSlice("this slice is the same as another one of the upload, byte for byte; one was kept")
            refused.append(_refusal(frame, twin))
            copies[digest] += 1
        else:
            unique[digest] = (header, frame)
    warnings: list[str] = []
    placed, source = _place(unique, warnings, refused)
    candidates = []
    for orientation, slices in _by_plane(placed):
        positions = np.sort(np.array([item.z_mm for item in slices], dtype=np.float64))
        candidates += [(orientation, phase, _duplicates(phase, positions, copies)) for phase in split_phases(slices)]
    if not any(is_axial(orientation) for orientation, _, _ in candidates):
        raise NotAxial(
            "the series is coronal or sagittal; slicebank takes axial series: send the original one",
            tag=label(IMAGE_ORIENTATION_PATIENT),
        )
    candidates.sort(key=lambda item: (not is_axial(item[0]), -len(item[1]), min(one.key for one in item[1])))
    stacks = tuple(
        make_stack(number, orientation, slices, source, duplicates)
        for number, (orientation, slices, duplicates) in enumerate(candidates)
    )
    return _describe_series([item for _, slices, _ in candidates for item in slices], stacks, warnings)


def _duplicates(phase: Sequence[PlacedSlice], positions: NDArray[np.float64], copies: Counter[str]) -> Duplicates:
    """What repeats the slices of one phase; `positions` are those of all phases of the plane, sorted, mm."""
    dropped = tuple((item.z_mm, copies[item.digest]) for item in phase if copies[item.digest])
    own = np.array([item.z_mm for item in phase], dtype=np.float64)
    near = np.searchsorted(positions, own + SAME_POSITION_MM, side="right") - np.searchsorted(
        positions, own - SAME_POSITION_MM
    )
    return Duplicates(dropped=dropped, in_other_stacks=tuple(own[near > 1].tolist()))


def _place(
    unique: dict[str, _Pair], warnings: list[str], refused: list[Refusal]
) -> tuple[list[tuple[Orientation, PlacedSlice]], Source]:
    """Give every slice a position along its own normal; refuse those that have none."""
    if len(unique) == 1:
        digest, (header, frame) = next(iter(unique.items()))
        if frame.position is None:
            orientation = frame.orientation or AXIAL
            return [(orientation, PlacedSlice(header, frame, digest, frame.slice_location or 0.0))], "single"
    positioned = {digest: pair for digest, pair in unique.items() if pair[1].position is not None}
    if not positioned:
        located = {digest: pair for digest, pair in unique.items() if pair[1].slice_location is not None}
        if not located:
            raise _no_position()
        _refuse_unplaced(unique, located, refused)
        warnings.append("ImagePositionPatient is missing; slices are ordered by SliceLocation")
        return [
            (frame.orientation or AXIAL, PlacedSlice(header, frame, digest, frame.slice_location or 0.0))
            for digest, (header, frame) in located.items()
        ], "slice_location"
    _refuse_unplaced(unique, positioned, refused)
    if any(frame.orientation is None for _, frame in positioned.values()):
        warnings.append("ImageOrientationPatient is missing; slices are taken as axial")
    placed = []
    for digest, (header, frame) in positioned.items():
        orientation = frame.orientation or AXIAL
        z_mm = float(normal_of(orientation) @ (frame.position or (0.0, 0.0, 0.0)))
        placed.append((orientation, PlacedSlice(header, frame, digest, z_mm)))
    return placed, "single" if len(placed) == 1 else "image_position"


def _refuse_unplaced(unique: dict[str, _Pair], kept: dict[str, _Pair], refused: list[Refusal]) -> None:
    error = _no_position()
    refused.extend(_refusal(frame, error) for digest, (_, frame) in unique.items() if digest not in kept)


def _no_position() -> NoPosition:
    return NoPosition(
        "the slice has no ImagePositionPatient, so its place in the series is unknown",
        tag=label(IMAGE_POSITION_PATIENT),
    )


def _by_plane(
    placed: Iterable[tuple[Orientation, PlacedSlice]],
) -> list[tuple[Orientation, list[PlacedSlice]]]:
    """Slices by matrix and orientation; planes that differ only by rounding are one."""
    by_matrix: dict[tuple[int, int], list[tuple[Orientation, PlacedSlice]]] = {}
    for orientation, item in sorted(placed, key=lambda pair: pair[1].key):
        by_matrix.setdefault((item.frame.rows, item.frame.columns), []).append((orientation, item))
    planes: list[tuple[Orientation, list[PlacedSlice]]] = []
    for pairs in by_matrix.values():
        known = np.full((len(pairs), 6), np.inf)  # a fan of hostile planes must not cost the square of its slices
        slices: list[list[PlacedSlice]] = []
        for orientation, item in pairs:
            found = same_orientation(known[: len(slices)], orientation)
            if found is None:
                known[len(slices)] = orientation
                found = len(slices)
                slices.append([])
                planes.append((orientation, slices[found]))
            slices[found].append(item)
    return planes


def _describe_series(slices: list[PlacedSlice], stacks: tuple[Stack, ...], warnings: list[str]) -> CTSeries:
    files = sorted({item.file.file: item.file for item in slices}.values(), key=lambda header: header.file)
    first = files[0]
    series_uid = first.series_uid or derived_uid(
        "series", *sorted(f"{i.frame.sop_instance_uid} {i.frame.frame_number} {i.file.sha256_pixels}" for i in slices)
    )
    study_uids = sorted({header.study_uid for header in files if header.study_uid})
    study_uid = study_uids[0] if study_uids else derived_uid("study", series_uid)
    derived = not first.series_uid or not study_uids or any(header.sop_uid_derived for header in files)
    if derived:
        warnings.append("study, series or instance UIDs are missing in the files; UIDs under 2.25 stand in for them")
    if len(study_uids) > 1:
        warnings.append(f"the series names {len(study_uids)} studies; the first one is used")
    if len({header.patient_id for header in files}) > 1:
        warnings.append("the series names several patients; the first one is used")
    if any(item.frame.pixel_spacing is None for item in slices):
        warnings.append("PixelSpacing is missing; the field of view is given as 1 mm a pixel")
    if any(item.frame.rescale_assumed for item in slices):
        warnings.append("rescale slope and intercept were assumed by the sender")
    warnings += sorted({warning for header in files for warning in header.warnings})
    if len(stacks) > 1:
        warnings.append(f"the series holds {len(stacks)} stacks; the largest axial one is the default")
    return CTSeries(
        series_uid=series_uid,
        study_uid=study_uid,
        derived_uids=derived,
        patient_id=first.patient_id,
        patient_sex=first.patient_sex,
        body_part=first.body_part,
        stacks=stacks,
        warnings=tuple(warnings),
    )
