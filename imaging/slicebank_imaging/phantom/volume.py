"""A phantom: body, lesions and noise as Hounsfield units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.phantom.anatomy import draw_anatomy
from slicebank_imaging.phantom.canvas import Plane
from slicebank_imaging.phantom.drawing import draw_slice, draw_table
from slicebank_imaging.phantom.lesions import Lesion, PlantedLesion, SliceBox, add_lesion
from slicebank_imaging.phantom.noise import noise_planes
from slicebank_imaging.phantom.spec import PhantomSpec

LOWEST_HU, HIGHEST_HU = -1024, 3071  # what 12 bits hold with intercept -1024


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A made-up CT of chest and abdomen.

    Attributes:
        spec: What was asked for.
        hu: int16 (slices, rows, columns), HU; slice 0 is the lowest.
        lesions: What was planted, with boxes.
    """

    spec: PhantomSpec
    hu: NDArray[np.int16]
    lesions: tuple[PlantedLesion, ...]


def make_phantom(spec: PhantomSpec, lesions: Sequence[Lesion] = ()) -> Phantom:
    """Make a phantom; the same arguments give the same voxels, whatever else the process has drawn."""
    anatomy = draw_anatomy(spec.seed)
    table = draw_table(anatomy, spec)
    hu = np.empty((spec.n_slices, spec.size, spec.size), dtype=np.int16)
    boxes: list[list[SliceBox]] = [[] for _ in lesions]
    for index, noise in enumerate(noise_planes(spec)):
        plane = draw_slice(anatomy, spec, spec.z_mm(index), table)
        for lesion, found in zip(lesions, boxes, strict=True):
            box = add_lesion(plane, index, lesion, spec)
            if box is not None:
                found.append(box)
        hu[index] = quantised(plane, noise)
    planted = tuple(PlantedLesion(lesion, tuple(found)) for lesion, found in zip(lesions, boxes, strict=True))
    return Phantom(spec, hu, planted)


def quantised(plane: Plane, noise: Plane) -> NDArray[np.int16]:
    """Returns a slice with noise, less of it in air, as 12 bits hold it; HU."""
    quiet = np.clip((plane + np.float32(1000.0)) * np.float32(1.0 / 900.0), 0.35, 1.0)  # air scatters less
    plane += noise * quiet
    return np.clip(np.rint(plane), LOWEST_HU, HIGHEST_HU).astype(np.int16)
