"""From answers for bags to what is measured: one answer for each series, study or patient that the labels name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.targets import Case, Target

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Units:
    """What is measured.

    Attributes:
        names: (n,) `Case.unit`, or the case's index where it is its own unit.
        patients: (n,).
        targets: (n,).
        outputs: (n, outputs) means over the unit's cases, and over repeats: probabilities, values or risks.
    """

    names: tuple[str, ...]
    patients: tuple[str, ...]
    targets: tuple[Target, ...]
    outputs: Values

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self.names)


def unit_of(case: Case) -> str:
    """Returns the name of what the label of a case names."""
    return case.unit or str(case.index)


def average_by_unit(cases: Sequence[Case], outputs: Values) -> Units:
    """Averages (cases, outputs) over the cases of each unit; a case may be named several times, as by repeats.

    Units come in the order in which they are first named.
    """
    numbers: dict[str, int] = {}
    first: list[Case] = []
    of_case = []
    for case in cases:
        # A unit is one patient's; that its name is used by another must not mix them.
        key = f"{case.patient}\n{unit_of(case)}"
        if key not in numbers:
            numbers[key] = len(first)
            first.append(case)
        of_case.append(numbers[key])
    sums = np.zeros((len(first), outputs.shape[1]))
    np.add.at(sums, of_case, outputs)
    counts = np.bincount(of_case, minlength=len(first)) if of_case else np.zeros(0)
    return Units(
        names=tuple(unit_of(case) for case in first),
        patients=tuple(case.patient for case in first),
        targets=tuple(case.target for case in first),
        outputs=sums / counts[:, None],
    )
