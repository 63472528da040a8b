"""A small cohort of phantoms as DICOM files: half of them with one lesion, two of them kept unseen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slicebank.errors import MissingExtra

# Enough for three folds to have both answers in plenty, and made in some 6 s on one core.
TRAINING_SERIES = 30
SLICES = 24
PIXELS = 256
SPACING_MM = 5.0
# Plain enough to be learned from a cohort this small; subtle ones need a hundred cases and more.
DIAMETERS_MM = (25.0, 40.0)
CONTRASTS_HU = (80.0, 120.0)
LABEL = "lesion"
TRAINING_FOLDER = "training"
UNSEEN_FOLDER = "unseen"


@dataclass(frozen=True, slots=True)
class DemoSeries:
    """One phantom on disk; `lesion_slices` are 0-based from inferior and empty without a lesion."""

    series_uid: str
    folder: Path
    lesion_slices: range
    diameter_mm: float
    contrast_hu: float

    @property
    def has_lesion(self) -> bool:
        """The answer a head should find."""
        return len(self.lesion_slices) > 0


def write_cohort(folder: Path, *, n_training: int = TRAINING_SERIES, seed: int = 2024) -> Iterator[DemoSeries]:
    """Write the cohort series by series: the training ones, then an unseen one with a lesion and one without.

    Raises:
        MissingExtra: numpy or pydicom are not installed.
    """
    for index in range(n_training + 2):
        unseen = index >= n_training
        name = f"{UNSEEN_FOLDER if unseen else TRAINING_FOLDER}/series-{index:02d}"
        yield write_series(folder / name, seed=seed + index, lesion=index % 2 == 0)


def write_series(folder: Path, *, seed: int, lesion: bool) -> DemoSeries:
    """Write one phantom.

    Raises:
        MissingExtra: numpy or pydicom are not installed.
    """
    try:
        from slicebank_imaging.phantom import Lesion, PhantomSpec, make_phantom, random_lesion, write_dicom
    except ImportError as error:
        raise MissingExtra("`slicebank demo`", extra="service,worker", missing=error.name or "") from error
    spec = PhantomSpec(seed=seed, n_slices=SLICES, size=PIXELS, slice_spacing_mm=SPACING_MM)
    planted: list[Lesion] = []
    if lesion:
        draw = random.Random(seed)  # noqa: S311 - phantoms, not secrets
        place = random_lesion(spec, seed)
        contrast = draw.uniform(*CONTRASTS_HU) * (1.0 if place.contrast_hu > 0 else -1.0)
        planted.append(Lesion(place.centre, draw.uniform(*DIAMETERS_MM), contrast))
    phantom = make_phantom(spec, planted)
    written = write_dicom(phantom, folder)
    found = phantom.lesions[0] if phantom.lesions else None
    return DemoSeries(
        written.series_uid,
        folder,
        found.slices if found is not None else range(0),
        found.lesion.diameter_mm if found is not None else 0.0,
        found.lesion.contrast_hu if found is not None else 0.0,
    )
