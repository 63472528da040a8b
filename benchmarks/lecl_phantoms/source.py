"""Phantoms of mimics as a source of slices: patients whose lesion slices no shortcut tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slicebank_imaging.phantom.mimics import MimicSettings, draw_patient
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice

LESION, NONE = "lesion", "none"


@dataclass(frozen=True)
class MimicSource:
    """One patient a seed; every slice is labelled by whether it has a lesion.

    Attributes:
        seeds: Of the patients.
        settings: What slices are drawn from.
        annotated: Share of the lesion slices that have their box, chosen by the seeds.
    """

    seeds: Sequence[int]
    settings: MimicSettings
    annotated: float
    name: str

    def __len__(self) -> int:
        return len(self.seeds) * self.settings.slices

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def slices(self) -> Iterator[SourceSlice]:
        """Yields patient after patient, from inferior to superior."""
        for seed in self.seeds:
            chosen = np.random.default_rng([seed, 0xB0C5]).random(self.settings.slices) < self.annotated
            for position, one in enumerate(draw_patient(seed, self.settings)):
                box = one.box
                boxes = ()
                if box is not None and chosen[position]:
                    boxes = (
                        LesionBox(
                            float(box.row_start),
                            float(box.column_start),
                            float(box.row_stop),
                            float(box.column_stop),
                        ),
                    )
                yield SourceSlice(
                    one.hu,
                    f"mimics-{seed}",
                    f"mimics-{seed}",
                    position,
                    boxes,
                    NONE if box is None else LESION,
                    self.settings.pixel_mm,
                )
