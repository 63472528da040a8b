"""From one decoded slice to its plane in the volume of a scan."""

from __future__ import annotations

from dataclasses import dataclass

from slicebank_imaging.pixels import CTSlice
from slicebank_imaging.thumbnails import jpeg_thumbnail
from slicebank_imaging.volume import Plane, VolumeBuilder
from slicebank_worker.engine.rows import THUMBNAIL_WINDOW


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPlane:
    """One slice of a scan.

    Attributes:
        plane: at the pixels that the volume reads.
        thumbnail: JPEG bytes, or None.
        padding_pixels: how many pixels of the slice were padding.
    """

    plane: Plane
    thumbnail: bytes | None
    padding_pixels: int


def prepare_plane(ct: CTSlice, builder: VolumeBuilder, *, thumbnails: bool) -> PreparedPlane:
    """Resamples one slice in its plane.

    Args:
        ct: the decoded slice.
        builder: of the scan's volume; nothing is added to it.
        thumbnails: make a picture of the slice.

    Raises:
        DecodeFailed: the slice has another matrix than the stack.
    """
    plane = builder.plane(ct.hounsfield())
    return PreparedPlane(plane, jpeg_thumbnail(ct.render(THUMBNAIL_WINDOW)) if thumbnails else None, ct.padding_count)
