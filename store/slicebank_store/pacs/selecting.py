"""Which series of a study to pull. Descriptions and kernels are free text: they are compared in memory and written down nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase

from slicebank_store.types import JSON


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a PACS says of a series; None is what it does not say.

    Attributes:
        thickness_mm: SliceThickness.
        kernel: ConvolutionKernel, several values joined by a backslash.
        n_images: NumberOfSeriesRelatedInstances.
    """

    series_uid: str
    modality: str | None = None
    description: str | None = None
    kernel: str | None = None
    thickness_mm: float | None = None
    n_images: int | None = None

    def filled(self, other: SeriesFacts) -> SeriesFacts:
        """The same, with what is missing taken from another source."""
        given = {name: value for name, value in asdict(other).items() if getattr(self, name) is None}
        return replace(self, **given)


@dataclass(frozen=True, slots=True)
class SeriesRules:
    """Which series are wanted.

    Attributes:
        modality: one of these.
        min_thickness_mm: of a slice.
        max_thickness_mm: of a slice.
        kernel: patterns with * and ?, in any case; one without a leading "!" must fit, and none with it may.
        description: the same for SeriesDescription.
        min_images: of the series.
        largest_only: only the series with the most images of those that are left.
    """

    modality: tuple[str, ...] = ("CT",)
    min_thickness_mm: float | None = None
    max_thickness_mm: float | None = None
    kernel: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    min_images: int | None = None
    largest_only: bool = False

    def as_dict(self) -> JSON:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: JSON) -> SeriesRules:
        """Inverse of `as_dict`."""
        lists = {name: tuple(values[name]) for name in ("modality", "kernel", "description")}
        return cls(**{**values, **lists})

    def broken_by(self, facts: SeriesFacts) -> str | None:
        """The first rule that a series is known to break; None where it may be wanted."""
        thickness = facts.thickness_mm
        if self.modality and facts.modality is not None and facts.modality.upper() not in self.modality:
            return "modality"
        if facts.n_images is not None and facts.n_images < (self.min_images or 0):
            return "min_images"
        if thickness is not None and self.min_thickness_mm is not None and thickness < self.min_thickness_mm:
            return "min_thickness_mm"
        if thickness is not None and self.max_thickness_mm is not None and thickness > self.max_thickness_mm:
            return "max_thickness_mm"
        if facts.kernel is not None and not _fits(facts.kernel, self.kernel):
            return "kernel"
        if facts.description is not None and not _fits(facts.description, self.description):
            return "description"
        return None

    def undecided(self, facts: SeriesFacts) -> str | None:
        """The first rule that cannot be judged by what is known; only what an instance's header can tell is asked."""
        if facts.thickness_mm is None and (self.min_thickness_mm, self.max_thickness_mm) != (None, None):
            return "thickness"
        if facts.kernel is None and self.kernel:
            return "kernel"
        if facts.description is None and self.description:
            return "description"
        return None


def largest(series: Iterable[SeriesFacts]) -> SeriesFacts:
    """The series with the most images; among equals the one whose UID sorts first."""
    return min(series, key=lambda facts: (-(facts.n_images or 0), facts.series_uid))


def _fits(value: str, patterns: tuple[str, ...]) -> bool:
    values = [part.strip().lower() for part in value.split("\\")]
    wanted = [pattern.lower() for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:].lower() for pattern in patterns if pattern.startswith("!")]
    if any(fnmatchcase(part, pattern) for part in values for pattern in unwanted):
        return False
    return not wanted or any(fnmatchcase(part, pattern) for part in values for pattern in wanted)
