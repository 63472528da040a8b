"""Names and layout of a bag file, and what its writer must be told.

```
/feats            float32 (N, D)  chunks (min(N, 64), D)
/features         hard link to /feats
/coords           float32 (N, 2)  position along the slice normal in micrometres, 0
/slice_index      int32 (N)       slice of the stack, 0-based, inferior to superior; -1 in a scan-level bag
/window_index     int8 (N)        window of the recipe; -1 in a scan-level bag
/slice_number     int32 (S)       the slices in the bag: 0 .. S-1, without those that could not be decoded
/z_mm             float64 (S)     position along the slice normal
/instance_number  int32 (S)       -1 where the file has none
/sop_instance_uid str (S)
/frame_number     int32 (S)       1-based
/thumbnails       JPEG bytes (S)  optional
```
With W windows and no slice left out, row = slice * W + window. Foreign readers ignore what they do not know.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from slicebank_store.recipe import Recipe
from slicebank_store.types import JSON, BagLevel

FORMAT = 1
"""Root attribute `slicebank_format`; raised when a reader of today could not read the file."""

CHUNK_ROWS = 64
NO_INSTANCE_NUMBER = -1
SCAN_INDEX = -1
"""Slice and window of the one row of a scan-level bag."""

MICROMETRES_PER_MM = 1000.0


@dataclass(frozen=True, slots=True)
class BagSlice:
    """One slice of the stack, as the bag remembers it.

    Attributes:
        z_mm: position along the slice normal, mm.
        instance_number: None where the file has none.
        frame_number: 1-based within its file.
    """

    z_mm: float
    instance_number: int | None
    sop_instance_uid: str
    frame_number: int

    @classmethod
    def from_dict(cls, value: JSON) -> Self:
        """Reads a slice of a job's manifest; keys of no use here are left."""
        return cls(
            z_mm=float(value["z_mm"]),
            instance_number=value["instance_number"],
            sop_instance_uid=value["sop_instance_uid"],
            frame_number=int(value["frame_number"]),
        )


@dataclass(frozen=True, slots=True)
class SkippedSlice:
    """A slice left out of a bag.

    Attributes:
        slice_index: 0-based position in the stack.
        detail: why.
    """

    slice_index: int
    sop_instance_uid: str
    detail: str

    def as_dict(self) -> JSON:
        """For a job's result and a bag's row in the catalogue."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BagHeader:
    """Everything a bag says about itself beside its rows.

    Attributes:
        name: what foreign readers show: the bag id.
        slices: of the whole stack, inferior to superior.
        rows: of a slice, pixels.
        columns: of a slice, pixels.
        field_of_view_mm: edge of the imaged square; foreign readers refuse 0.
        software: name and version of what wrote it.
        created_at: seconds since 1970.
    """

    name: str
    series_uid: str
    revision: int
    stack: int
    level: BagLevel
    recipe: Recipe
    content_digest: str
    slices: tuple[BagSlice, ...]
    geometry: JSON
    rescale: JSON
    rows: int
    columns: int
    field_of_view_mm: float
    software: str
    created_at: float

    @classmethod
    def from_manifest(
        cls,
        manifest: JSON,
        *,
        name: str,
        level: BagLevel,
        recipe: Recipe,
        software: str,
        created_at: float,
        **changed: Any,
    ) -> Self:
        """The header of the bag that an embed job makes.

        Args:
            manifest: of the job.
            name: bag id.
            level: of the encoder.
            recipe: of the job.
            software: name and version of the worker.
            created_at: seconds since 1970.
            **changed: fields that the work itself found out, such as `rescale`.
        """
        values: dict[str, Any] = {
            "name": name,
            "series_uid": manifest["series_uid"],
            "revision": manifest["revision"],
            "stack": manifest["stack"],
            "level": level,
            "recipe": recipe,
            "content_digest": manifest["content_digest"],
            "slices": tuple(BagSlice.from_dict(item) for item in manifest["slices"]),
            "geometry": manifest["geometry"],
            "rescale": manifest["rescale"],
            "rows": manifest["rows"],
            "columns": manifest["columns"],
            "field_of_view_mm": manifest["field_of_view_mm"],
            "software": software,
            "created_at": created_at,
        }
        return cls(**{**values, **changed})
