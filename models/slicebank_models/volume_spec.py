"""What a scan encoder takes: a volume in a patient frame, of one spacing and size. No torch here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from slicebank_models.errors import BadCard

_AXES = ({"R", "L"}, {"A", "P"}, {"S", "I"})


class Resampling(StrEnum):
    """How voxels are read between slices and pixels, as the code that trained the encoder did."""

    MONAI = "monai"
    TORCH_TRILINEAR = "torch_trilinear"


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A scan encoder's input. Triples follow the array's axes.

    Attributes:
        axes: Where each axis of the array points as its index grows, such as `RAS`: towards the patient's Right or
            Left, Anterior or Posterior, Superior or Inferior. Any order.
        spacing_mm: Distance of neighbouring voxels.
        size: Voxels.
        hu: Lowest and highest HU; what lies outside is clipped.
        scaled_to: What these two become.
        pad: Value, after scaling, of voxels outside the scan.
        resampling: Convention of the interpolation.
    """

    axes: str
    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]
    hu: tuple[float, float]
    scaled_to: tuple[float, float]
    pad: float
    resampling: Resampling

    def __post_init__(self) -> None:
        if len(self.axes) != 3 or not all(len(pair & set(self.axes)) == 1 for pair in _AXES):
            raise BadCard(f"Axes {self.axes!r} must name R or L, A or P, and S or I, once each, such as RAS.")
        if len(self.spacing_mm) != 3 or not all(0 < step < math.inf for step in self.spacing_mm):
            raise BadCard("A volume needs three spacings above 0 mm.")
        if len(self.size) != 3 or min(self.size) < 1:
            raise BadCard("A volume needs three sizes of at least one voxel.")
        for name, (low, high) in (("hu", self.hu), ("scaled_to", self.scaled_to)):
            if not -math.inf < low < high < math.inf:
                raise BadCard(f"The entry {name} of a volume needs a low value and a higher one.")

    def as_dict(self) -> dict[str, Any]:
        """Returns JSON-able values; `from_dict` reads them back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {**listed, "resampling": self.resampling.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "VolumeSpec":
        """Reads what `as_dict` wrote.

        Raises:
            BadCard: An unknown, missing or unusable value.
        """
        try:
            spacing, size, hu, scaled_to = (
                tuple(kind(number) for number in values[name])
                for name, kind in (("spacing_mm", float), ("size", int), ("hu", float), ("scaled_to", float))
            )
            read = {
                **values,
                "spacing_mm": spacing,
                "size": size,
                "hu": hu,
                "scaled_to": scaled_to,
                "pad": float(values["pad"]),
                "resampling": Resampling(values["resampling"]),
            }
            return cls(**read)
        except (KeyError, TypeError, ValueError) as error:
            raise BadCard(f"The volume of a card lacks a value or has an unusable one: {error}") from error
