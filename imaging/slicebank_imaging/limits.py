"""How large one file and one series may be."""

from dataclasses import dataclass

MAX_RESCALE = 1e9  # slopes and intercepts beyond it are no numbers that a scanner wrote


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds on what is taken in, so that no file or series occupies a worker for hours.

    Attributes:
        max_pixels: Rows x columns x frames of one file.
        max_slices: Slices of one series, all stacks together.
    """

    max_pixels: int = 4 << 30  # 4,096 frames of 1,024 x 1,024, twice the longest reconstructions: 8 GB of 16 bits
    max_slices: int = 10_000  # a beating heart of 20 phases of 320 slices makes 6,400
