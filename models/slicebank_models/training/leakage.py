"""Whether what a head is asked about is what it learned from. No torch and no NumPy here: a service asks it too."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leakage:
    """What is on both sides.

    Attributes:
        patients: Pseudonyms, sorted.
        series: SeriesInstanceUIDs, sorted.
    """

    patients: tuple[str, ...] = ()
    series: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Returns whether there is any."""
        return bool(self.patients or self.series)

    @property
    def sentence(self) -> str:
        """What to tell people; empty where there is none."""
        if not self:
            return ""
        parts = [
            f"{len(names)} {what}" for names, what in ((self.patients, "patients"), (self.series, "series")) if names
        ]
        return (
            f"The head was trained or chosen on {' and '.join(parts)} of these: what it says of them does not show how well it "
            "does on new ones. Its out-of-fold predictions do."
        )


def leakage(
    *,
    trained_patients: Collection[str],
    trained_series: Collection[str] = (),
    patients: Collection[str],
    series: Collection[str] = (),
) -> Leakage:
    """Compares what a head was trained on, test part excluded, with what it is asked about."""
    return Leakage(
        patients=tuple(sorted(set(trained_patients) & set(patients))),
        series=tuple(sorted(set(trained_series) & set(series))),
    )
