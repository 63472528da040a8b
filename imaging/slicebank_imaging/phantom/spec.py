"""What a phantom is asked to be, and its coordinates."""

import math
from dataclasses import dataclass

BODY_FOV_MM = 380.0  # a usual reconstruction diameter for an adult trunk
LIVER_CENTRE_MM = -70.0


@dataclass(frozen=True, slots=True)
class PhantomSpec:
    """Everything that decides a phantom, save its lesions.

    Body coordinates are mm in LPS: x to the patient's left, y to the back, z to the head; z = 0 is the dome of the
    right diaphragm. Short scans show the liver; longer ones reach from the kidneys to the lungs.

    Attributes:
        seed: Decides anatomy and noise.
        size: Rows and columns.
        slice_spacing_mm: Distance between slices, which is their thickness too.
        pixel_spacing_mm: None for a field of view of 380 mm.
        noise_hu: Standard deviation of the noise in soft tissue.
    """

    seed: int = 0
    n_slices: int = 40
    size: int = 256
    slice_spacing_mm: float = 5.0
    pixel_spacing_mm: float | None = None
    noise_hu: float = 14.0

    def __post_init__(self) -> None:
        if self.n_slices < 1 or self.size < 16:
            raise ValueError("a phantom has at least 1 slice of 16 x 16 pixels")
        if not (self.slice_spacing_mm > 0 and self.pixel_mm > 0 and math.isfinite(self.slice_spacing_mm)):
            raise ValueError("the spacings of a phantom are positive lengths in mm")

    @property
    def pixel_mm(self) -> float:
        """Distance between pixel centres, mm."""
        return BODY_FOV_MM / self.size if self.pixel_spacing_mm is None else self.pixel_spacing_mm

    @property
    def length_mm(self) -> float:
        """Extent of the scan along the body, mm."""
        return self.n_slices * self.slice_spacing_mm

    @property
    def first_z_mm(self) -> float:
        """Position of slice 0, mm."""
        centre = LIVER_CENTRE_MM + 0.35 * max(0.0, self.length_mm - 140.0)
        return centre - 0.5 * (self.n_slices - 1) * self.slice_spacing_mm

    @property
    def first_xy_mm(self) -> float:
        """Position of the first row and of the first column, mm."""
        return -0.5 * (self.size - 1) * self.pixel_mm

    def z_mm(self, slice_index: float) -> float:
        """Position of a slice, mm."""
        return self.first_z_mm + slice_index * self.slice_spacing_mm

    def to_voxel(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Body coordinates (mm) to slice, row, column (0-based, fractional)."""
        return (
            (z - self.first_z_mm) / self.slice_spacing_mm,
            (y - self.first_xy_mm) / self.pixel_mm,
            (x - self.first_xy_mm) / self.pixel_mm,
        )

    def to_body(self, slice_index: float, row: float, column: float) -> tuple[float, float, float]:
        """Slice, row, column (0-based, fractional) to body coordinates (mm)."""
        return (
            self.first_xy_mm + column * self.pixel_mm,
            self.first_xy_mm + row * self.pixel_mm,
            self.z_mm(slice_index),
        )
