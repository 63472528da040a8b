"""How much one upload may bring."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.unpack import UnpackLimits


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds on one upload.

    Attributes:
        unpack: of all its archives and files together.
        intake: of each file and each series.
    """

    unpack: UnpackLimits = field(default_factory=UnpackLimits)
    intake: IntakeLimits = field(default_factory=IntakeLimits)
