"""Single slices of a NIfTI file, read as they are needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slicebank_imaging.decoding import StoredValues
from slicebank_imaging.errors import DecodeFailed
from slicebank_imaging.nifti.header import NiftiVolume, read_volume
from slicebank_imaging.nifti.orientation import AxialView, axial_view
from slicebank_imaging.nifti.voxels import stored_values


@dataclass(frozen=True, slots=True, eq=False)
class NiftiSlices:
    """Axial slices of one volume by frame number, which is 1 + the voxel index along the slice axis."""

    path: Path
    volume: NiftiVolume
    view: AxialView

    @classmethod
    def open(cls, path: Path) -> "NiftiSlices":
        """Read the header; voxels are left on the disk.

        Raises:
            FileRefused: as `read_volume` and `axial_view`.
        """
        volume = read_volume(path)
        return cls(path, volume, axial_view(volume.affine, volume.shape))

    def load(self, frame_number: int) -> StoredValues:
        """One slice, (rows, columns); see `voxels.stored_values`.

        Raises:
            DecodeFailed: there is no such slice.
        """
        count = self.volume.shape[self.view.slice_axis]
        if not 1 <= frame_number <= count:
            raise DecodeFailed(f"slice {frame_number} is not in the volume, which holds {count}")
        # Mapped for this slice alone: pages of a map that stays open count as memory of the process.
        try:
            voxels = np.memmap(
                self.path, self.volume.dtype, mode="r", offset=self.volume.offset, shape=self.volume.shape, order="F"
            )
        except ValueError as error:
            raise DecodeFailed("the volume is shorter than when it was taken in; send it again") from error
        view = self.view
        # Basic indexing reads the pages of this slice only; numpy.take would copy the volume.
        plane = voxels.transpose(view.slice_axis, view.row_axis, view.column_axis)[frame_number - 1]
        plane = plane[:: -1 if view.flip_rows else 1, :: -1 if view.flip_columns else 1]
        return stored_values(plane, self.volume.slope, self.volume.intercept)
