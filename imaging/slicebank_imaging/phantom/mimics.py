"""Single slices in which a lesion can only be told by what it is: blobs of one size, of which none or one is a lesion.

Every slice holds a few round blobs in soft organs. Places, sizes and number are drawn before it is known whether the slice has
a lesion. Most are mimics: cross-sections of enhanced vessels and calcifications. In a slice with a lesion one of them, chosen at
random, is a lesion instead, whose contrast is weaker than that of any mimic; in half of the slices without one the chosen place
stays empty, and in the other half it is a mimic too. Size, place and number of blobs or of mimics therefore say next to nothing,
and neither do mean, extremes and histogram of the slice, which anatomy, level, bones and mimics decide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.phantom.anatomy import Anatomy, draw_anatomy
from slicebank_imaging.phantom.canvas import Plane
from slicebank_imaging.phantom.drawing import draw_slice, draw_table
from slicebank_imaging.phantom.lesions import Lesion, SliceBox, add_lesion
from slicebank_imaging.phantom.noise import noise_planes
from slicebank_imaging.phantom.spec import PhantomSpec
from slicebank_imaging.phantom.volume import quantised

TRIES = 100  # heights at which a slice is tried, for a place that holds all of its blobs
SAME_TISSUE_HU = 4.0
Field = tuple[slice, slice]  # rows and columns of a canvas
Site = tuple[float, float, float]  # row and column of the centre, pixels, and diameter, mm


class BlobKind(StrEnum):
    """What a blob is."""

    LESION = "lesion"
    VESSEL = "vessel"
    CALCIFICATION = "calcification"


@dataclass(frozen=True, slots=True)
class MimicSettings:
    """What the slices of one patient are drawn from; pairs are smallest and largest value of a uniform draw.

    Attributes:
        size: Rows and columns.
        pixel_mm: Distance between pixel centres; 64 pixels of 2 mm are a field of view of 128 mm, targeted at the liver.
        centre_mm: Middle of the field of view, x to the patient's left and y to the back, in the body's coordinates.
        centre_spread_mm: Largest distance of a slice's own middle from it, along x and along y.
        slices: Of each patient; half of them, chosen at random, have a lesion.
        heights_mm: Of slices, in the body's coordinates: where the liver is large.
        blobs: Number in a slice, before one is left out.
        diameters_mm: Of every blob.
        lesion_hu: Contrast of a lesion to the organ around.
        empty: Share of the slices without a lesion that have one blob less.
        bright: Share of the lesions that are brighter than the organ; in the portal venous phase most are darker.
        vessel_hu: Contrast of a vessel's cross-section.
        calcification_hu: Contrast of a calcification.
        margin_mm: Width over which every blob fades at its edge.
        noise_hu: Standard deviation of a slice's noise.
        level_hu: Largest shift of a slice's soft tissue, up or down, as by the time since the contrast agent; it keeps the
            histogram from telling lesions by their HU.
    """

    size: int = 64
    pixel_mm: float = 2.0
    centre_mm: tuple[float, float] = (-58.0, -6.0)
    centre_spread_mm: float = 10.0
    slices: int = 8
    heights_mm: tuple[float, float] = (-125.0, -30.0)
    blobs: tuple[int, int] = (2, 4)
    diameters_mm: tuple[float, float] = (8.0, 25.0)
    lesion_hu: tuple[float, float] = (30.0, 40.0)
    empty: float = 0.5
    bright: float = 0.0
    vessel_hu: tuple[float, float] = (60.0, 140.0)
    calcification_hu: tuple[float, float] = (150.0, 500.0)
    margin_mm: float = 3.0
    noise_hu: tuple[float, float] = (8.0, 12.0)
    level_hu: float = 40.0


@dataclass(frozen=True, slots=True)
class Blob:
    """A ball cut through its middle.

    Attributes:
        row: Centre, pixels.
        column: Centre, pixels.
        contrast_hu: Difference from the tissue around.
    """

    kind: BlobKind
    row: float
    column: float
    diameter_mm: float
    contrast_hu: float


@dataclass(frozen=True, slots=True, eq=False)
class MimicSlice:
    """One slice.

    Attributes:
        hu: int16 (size, size), HU.
        height_mm: In the body's coordinates.
        blobs: The lesion, if there is one, stands among the mimics in the order of drawing.
        box: Of the lesion; None without one.
    """

    hu: NDArray[np.int16]
    height_mm: float
    blobs: tuple[Blob, ...]
    box: SliceBox | None


def draw_patient(seed: int, settings: MimicSettings | None = None) -> tuple[MimicSlice, ...]:
    """Draws the slices of one patient, from inferior to superior; the same arguments give the same slices.

    Args:
        seed: Decides anatomy, heights, blobs and noise.
        settings: What to draw from.
    """
    settings = settings or MimicSettings()
    rng = np.random.Generator(np.random.PCG64([seed, 0x3131]))
    spec = PhantomSpec(
        seed=seed,
        n_slices=settings.slices,
        size=_canvas_size(settings),
        pixel_spacing_mm=settings.pixel_mm,
        noise_hu=1.0,
    )
    anatomy = draw_anatomy(seed)
    table = draw_table(anatomy, spec)
    with_lesion = rng.permutation(settings.slices) < settings.slices // 2
    drawn = [
        _draw_slice(rng, anatomy, spec, settings, table, noise, lesion=bool(lesion))
        for noise, lesion in zip(noise_planes(spec), with_lesion, strict=True)
    ]
    return tuple(sorted(drawn, key=lambda one: one.height_mm))


def _draw_slice(
    rng: np.random.Generator,
    anatomy: Anatomy,
    spec: PhantomSpec,
    settings: MimicSettings,
    table: Plane,
    noise: Plane,
    *,
    lesion: bool,
) -> MimicSlice:
    height, plane, field, sites = _draw_sites(rng, anatomy, spec, settings, table)
    kinds = [BlobKind.VESSEL if rng.random() < 0.5 else BlobKind.CALCIFICATION for _ in sites]
    chosen = int(rng.integers(len(sites)))
    if lesion:
        kinds[chosen] = BlobKind.LESION
    elif rng.random() < settings.empty:
        del kinds[chosen], sites[chosen]
    blobs, box = [], None
    for kind, (row, column, diameter) in zip(kinds, sites, strict=True):
        blob = Blob(kind, row, column, diameter, _draw_contrast(rng, kind, settings))
        ball = Lesion((0.0, row, column), diameter, blob.contrast_hu, settings.margin_mm)
        around = add_lesion(plane, 0, ball, spec)
        box = around if kind is BlobKind.LESION else box
        blobs.append(blob)
    soft = np.clip((plane + np.float32(150.0)) / np.float32(100.0), 0.0, 1.0)
    plane += np.float32(settings.level_hu * rng.uniform(-1.0, 1.0)) * soft
    noise = noise * np.float32(rng.uniform(*settings.noise_hu))
    return MimicSlice(quantised(plane, noise)[field].copy(), height, _moved(blobs, field), _moved_box(box, field))


def _draw_contrast(rng: np.random.Generator, kind: BlobKind, settings: MimicSettings) -> float:
    if kind is BlobKind.LESION:
        return float(rng.uniform(*settings.lesion_hu)) * (1.0 if rng.random() < settings.bright else -1.0)
    return float(rng.uniform(*(settings.vessel_hu if kind is BlobKind.VESSEL else settings.calcification_hu)))


def _draw_sites(
    rng: np.random.Generator, anatomy: Anatomy, spec: PhantomSpec, settings: MimicSettings, table: Plane
) -> tuple[float, Plane, Field, list[Site]]:
    """Draws a height and a field of view in which all blobs fit; returns them, the canvas and the blobs' places on it."""
    diameters = rng.uniform(*settings.diameters_mm, int(rng.integers(settings.blobs[0], settings.blobs[1] + 1)))
    for _ in range(TRIES):
        height = float(rng.uniform(*settings.heights_mm))
        plane = draw_slice(anatomy, spec, height, table)
        field = _draw_field(rng, spec, settings)
        sites = _fit(rng, _organs(plane, anatomy, field), diameters, settings)
        if len(sites) == len(diameters):
            return height, plane, field, sites
    raise ValueError(f"{len(diameters)} blobs find no place in this body; ask for fewer or smaller ones")


def _canvas_size(settings: MimicSettings) -> int:
    """Rows and columns about the body's axis that hold the field of view wherever it is drawn."""
    reach = max(abs(value) for value in settings.centre_mm) + settings.centre_spread_mm
    return settings.size + 2 * math.ceil(reach / settings.pixel_mm) + 2


def _draw_field(rng: np.random.Generator, spec: PhantomSpec, settings: MimicSettings) -> Field:
    x, y = np.add(settings.centre_mm, settings.centre_spread_mm * rng.uniform(-1.0, 1.0, 2))
    _, row, column = spec.to_voxel(float(x), float(y), 0.0)
    first_row, first_column = (round(middle - 0.5 * (settings.size - 1)) for middle in (row, column))
    return slice(first_row, first_row + settings.size), slice(first_column, first_column + settings.size)


def _organs(plane: Plane, anatomy: Anatomy, field: Field) -> list[NDArray[np.bool_]]:
    """Pixels of liver, spleen and kidneys in the field of view of a slice without noise, a mask each."""
    seen = np.zeros(plane.shape, dtype=np.bool_)
    seen[field] = True
    tissues = (anatomy.liver.hu, anatomy.spleen.hu, anatomy.right_kidney.hu - 35.0)
    return [seen & (np.abs(plane - np.float32(hu)) < SAME_TISSUE_HU) for hu in tissues]


def _moved(blobs: Sequence[Blob], field: Field) -> tuple[Blob, ...]:
    return tuple(replace(blob, row=blob.row - field[0].start, column=blob.column - field[1].start) for blob in blobs)


def _moved_box(box: SliceBox | None, field: Field) -> SliceBox | None:
    if box is None:
        return None
    row, column = field[0].start, field[1].start
    return SliceBox(0, box.row_start - row, box.row_stop - row, box.column_start - column, box.column_stop - column)


def _fit(
    rng: np.random.Generator,
    organs: Sequence[NDArray[np.bool_]],
    diameters: NDArray[np.float64],
    settings: MimicSettings,
) -> list[Site]:
    """Draws places, evenly over all where a blob lies wholly in one organ and touches no other blob."""
    sites: list[Site] = []
    shape = organs[0].shape  # square
    outside = [np.fft.rfft2(~organ) for organ in organs]
    axis = np.minimum(np.arange(shape[0]), shape[0] - np.arange(shape[0]))  # distance from 0, around
    for diameter in diameters:
        reach = (0.5 * float(diameter) + 0.5 * settings.margin_mm) / settings.pixel_mm + 0.5
        disc = np.fft.rfft2(np.hypot(axis[:, None], axis[None, :]) <= reach)
        inside = np.zeros(shape, dtype=np.bool_)
        for other in outside:
            inside |= np.fft.irfft2(other * disc, s=shape) < 0.5  # no pixel of the disc lies outside the organ
        rows, columns = np.nonzero(inside)
        free = np.ones(len(rows), dtype=np.bool_)
        for row, column, width in sites:
            apart = reach + (0.5 * width + 0.5 * settings.margin_mm) / settings.pixel_mm
            free &= np.hypot(rows - row, columns - column) > apart
        if not free.any():
            break
        place = int(rng.choice(np.flatnonzero(free)))
        shift = rng.uniform(-0.5, 0.5, 2)
        sites.append((float(rows[place] + shift[0]), float(columns[place] + shift[1]), float(diameter)))
    return sites
