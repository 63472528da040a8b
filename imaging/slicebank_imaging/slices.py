"""One slice as a worker needs it: where its pixels are and how they become Hounsfield units."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SliceRef:
    """One slice of a stack; travels as JSON in a job's manifest.

    Attributes:
        file: Ordinal of the file in its upload.
        frame_number: 1-based.
        z_mm: Position along the stack's normal, mm, rising from inferior to superior.
        slope: HU per stored unit.
        intercept: HU.
        padding: Range of stored values that stand for "no pixel here", inclusive.
    """

    file: str
    frame_number: int
    sop_instance_uid: str
    instance_number: int | None
    z_mm: float
    slope: float
    intercept: float
    padding: tuple[int, int] | None

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"padding": None if self.padding is None else list(self.padding)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SliceRef":
        """Inverse of `as_dict`."""
        padding = values["padding"]
        return cls(**{**values, "padding": None if padding is None else (int(padding[0]), int(padding[1]))})
