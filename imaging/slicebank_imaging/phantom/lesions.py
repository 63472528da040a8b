"""Lesions: soft-edged balls of added Hounsfield units, their boxes, and a random plain one."""

from dataclasses import dataclass

import numpy as np

from slicebank_imaging.phantom.anatomy import Anatomy, Ellipsoid, draw_anatomy
from slicebank_imaging.phantom.canvas import Plane
from slicebank_imaging.phantom.spec import PhantomSpec

DIAMETERS_MM = (20.0, 40.0)
CONTRASTS_HU = (60.0, 120.0)
MARGIN_MM = 3.0
KEPT_FRACTION = 0.5  # a box covers what keeps at least half of the contrast


@dataclass(frozen=True, slots=True)
class Lesion:
    """A ball of tissue that differs from its surroundings.

    Attributes:
        centre: Slice, row, column; 0-based, fractional.
        diameter_mm: Distance between the points of half contrast.
        contrast_hu: Difference from the tissue around, negative for dark lesions.
        margin_mm: Width over which the contrast fades at the edge.
    """

    centre: tuple[float, float, float]
    diameter_mm: float
    contrast_hu: float
    margin_mm: float = MARGIN_MM


@dataclass(frozen=True, slots=True)
class SliceBox:
    """Rows and columns of a lesion in one slice: first, and one past the last."""

    slice_index: int
    row_start: int
    row_stop: int
    column_start: int
    column_stop: int


@dataclass(frozen=True, slots=True)
class PlantedLesion:
    """A lesion with the boxes around what it covers, one for each slice it reaches, in order."""

    lesion: Lesion
    boxes: tuple[SliceBox, ...]

    @property
    def slices(self) -> range:
        """Slices that the lesion reaches; empty where it lies outside the scan."""
        return range(self.boxes[0].slice_index, self.boxes[-1].slice_index + 1) if self.boxes else range(0)


def add_lesion(plane: Plane, slice_index: int, lesion: Lesion, spec: PhantomSpec) -> SliceBox | None:
    """Add a lesion to one slice in place; its box there, None where it does not reach.

    Args:
        plane: (rows, columns), HU.
        slice_index: 0-based.
        lesion: What to add.
        spec: Spacings.
    """
    z, row, column = lesion.centre
    height = (slice_index - z) * spec.slice_spacing_mm
    radius = 0.5 * lesion.diameter_mm
    reach = radius + 0.5 * lesion.margin_mm
    if abs(height) > reach:
        return None
    pixels = reach / spec.pixel_mm + 1.0
    rows = _clipped(row, pixels, spec.size)
    columns = _clipped(column, pixels, spec.size)
    down = (np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(row)) * np.float32(spec.pixel_mm)
    across = (np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(column)) * np.float32(spec.pixel_mm)
    distance = np.sqrt(down[:, None] ** 2 + across[None, :] ** 2 + np.float32(height * height))
    cover = np.clip((np.float32(radius) - distance) / np.float32(lesion.margin_mm) + np.float32(0.5), 0.0, 1.0)
    plane[rows, columns] += np.float32(lesion.contrast_hu) * cover
    inside = cover >= KEPT_FRACTION
    if not inside.any():
        return None
    inside_rows, inside_columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return SliceBox(
        slice_index,
        rows.start + int(inside_rows[0]),
        rows.start + int(inside_rows[-1]) + 1,
        columns.start + int(inside_columns[0]),
        columns.start + int(inside_columns[-1]) + 1,
    )


def random_lesion(spec: PhantomSpec, seed: int) -> Lesion:
    """A plain lesion, 20 to 40 mm wide and 60 to 120 HU darker or brighter, wholly inside liver or spleen.

    Args:
        spec: The phantom that it is meant for; its seed decides where the organs are.
        seed: Decides place, size and contrast.

    Raises:
        ValueError: the scan is too short to hold a lesion of 20 mm.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 0x1E51]))
    low, high = spec.z_mm(-0.5), spec.z_mm(spec.n_slices - 0.5)
    if high - low < DIAMETERS_MM[0] + 2 * MARGIN_MM:
        raise ValueError(f"a scan of {high - low:g} mm is too short for a lesion of {DIAMETERS_MM[0]:g} mm")
    anatomy = draw_anatomy(spec.seed)
    contrast = float(rng.uniform(*CONTRASTS_HU)) * (1.0 if rng.random() < 0.5 else -1.0)
    diameter = float(rng.uniform(*DIAMETERS_MM))
    diameter = min(diameter, high - low - 2 * MARGIN_MM)
    room = 0.5 * diameter + MARGIN_MM
    organ = _liver_core(anatomy) if rng.random() < 0.75 or room > 21.0 else _spleen_core(anatomy)
    for _ in range(1000):
        unit = rng.uniform(-1.0, 1.0, 3)
        radii = np.array([organ.radius_x, organ.radius_y, organ.radius_z]) - room
        x, y, z = np.array([organ.x, organ.y, organ.z]) + unit * radii
        if float(unit @ unit) <= 0.8 and low + room <= z <= high - room:
            return Lesion(spec.to_voxel(float(x), float(y), float(z)), diameter, contrast)
    middle = min(max(organ.z, low + room), high - room)
    return Lesion(spec.to_voxel(organ.x, organ.y, middle), diameter, contrast)


def _liver_core(anatomy: Anatomy) -> Ellipsoid:
    """The part of the right lobe that holds neither gallbladder nor kidney, nor lies under a rib."""
    liver = anatomy.liver
    return Ellipsoid(liver.x - 12.0, liver.y, liver.z + 8.0, 50.0, 52.0, 52.0, liver.hu)


def _spleen_core(anatomy: Anatomy) -> Ellipsoid:
    """The part of the spleen that no rib touches."""
    spleen = anatomy.spleen
    return Ellipsoid(spleen.x - 7.0, spleen.y, spleen.z, 25.0, 36.0, 42.0, spleen.hu)


def _clipped(centre: float, reach: float, size: int) -> slice:
    return slice(min(max(int(centre - reach), 0), size), min(max(int(centre + reach) + 2, 0), size))
