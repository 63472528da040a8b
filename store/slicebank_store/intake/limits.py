"""How much one upload may bring."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicebank_imaging.archives.limits import UnpackLimits
from slicebank_imaging.limits import IntakeLimits
from slicebank_store.settings import UploadSettings


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds on one upload.

    Attributes:
        unpack: of all its archives and files together.
        intake: of each file and each series.
    """

    unpack: UnpackLimits = field(default_factory=UnpackLimits)
    intake: IntakeLimits = field(default_factory=IntakeLimits)


def upload_limits(settings: UploadSettings) -> UploadLimits:
    """The bounds on one upload that the settings name."""
    return UploadLimits(
        unpack=UnpackLimits(
            max_files=settings.max_upload_files,
            max_bytes=settings.max_inflated_bytes,
            max_ratio=settings.max_archive_ratio,
            max_depth=settings.max_archive_depth,
        ),
        intake=IntakeLimits(max_pixels=settings.max_file_pixels, max_slices=settings.max_series_slices),
    )
