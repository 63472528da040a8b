"""From the affine of a volume to axial slices as DICOM writes them: rows go back, columns go left, slices go up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.errors import BadHeader

# RAS+ axes: 0 = to the right, 1 = to the front, 2 = to the head. DICOM axes are LPS+.
_LPS = np.array([-1.0, -1.0, 1.0])
_PERPENDICULAR = 0.05  # cosine; the tolerance of ImageOrientationPatient in DICOM headers too


@dataclass(frozen=True, slots=True, eq=False)
class AxialView:
    """How the voxels of a volume make axial slices.

    Attributes:
        column_axis: Voxel axis along which the columns of a slice are counted.
        row_axis: Voxel axis along which its rows are counted.
        slice_axis: Voxel axis along which slices are counted.
        flip_columns: Columns are counted against the voxel axis.
        flip_rows: Rows are counted against the voxel axis.
        spacing: Distance between rows and between columns, mm.
        orientation: Direction cosines of a row and of a column, LPS.
        origin: Centre of the first pixel of the slice at voxel index 0, mm, LPS.
        step: From one slice index to the next, mm, LPS.
    """

    column_axis: int
    row_axis: int
    slice_axis: int
    flip_columns: bool
    flip_rows: bool
    spacing: tuple[float, float]
    orientation: tuple[float, float, float, float, float, float]
    origin: NDArray[np.float64]
    step: NDArray[np.float64]

    def position(self, index: int) -> tuple[float, float, float]:
        """Centre of the first pixel of one slice, mm, LPS."""
        x, y, z = (self.origin + index * self.step).tolist()
        return round(x, 6), round(y, 6), round(z, 6)


def axial_view(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> AxialView:
    """Choose the voxel axes nearest to the patient's; an oblique volume keeps its oblique planes.

    Args:
        affine: (4, 4), voxel index to mm, RAS+.
        shape: Voxels along the three axes.

    Raises:
        BadHeader: rows and columns are not perpendicular.
    """
    from nibabel.orientations import io_orientation

    # (3, 2): for each voxel axis the patient axis and its direction; nibabel has no types here.
    found = io_orientation(affine)  # type: ignore[no-untyped-call]
    axes = {int(patient): voxel for voxel, patient in enumerate(found[:, 0])}
    column_axis, row_axis, slice_axis = axes[0], axes[1], axes[2]
    # RAS+ counts to the right and to the front, slices to the left and to the back.
    flip_columns, flip_rows = bool(found[column_axis, 1] > 0), bool(found[row_axis, 1] > 0)
    vectors = affine[:3, :3] * _LPS[:, None]
    across = vectors[:, column_axis] * (-1 if flip_columns else 1)
    down = vectors[:, row_axis] * (-1 if flip_rows else 1)
    column_mm, row_mm = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    across, down = across / column_mm, down / row_mm
    if abs(float(across @ down)) > _PERPENDICULAR:
        raise BadHeader("the affine is sheared inside the slices; resample the volume to a grid with right angles")
    first = np.zeros(3)
    first[column_axis] = shape[column_axis] - 1 if flip_columns else 0
    first[row_axis] = shape[row_axis] - 1 if flip_rows else 0
    origin = (affine[:3, :3] @ first + affine[:3, 3]) * _LPS
    cosines = [round(float(value), 9) + 0.0 for value in (*across, *down)]
    return AxialView(
        column_axis=column_axis,
        row_axis=row_axis,
        slice_axis=slice_axis,
        flip_columns=flip_columns,
        flip_rows=flip_rows,
        spacing=(round(row_mm, 6), round(column_mm, 6)),
        orientation=(cosines[0], cosines[1], cosines[2], cosines[3], cosines[4], cosines[5]),
        origin=origin,
        step=vectors[:, slice_axis],
    )
