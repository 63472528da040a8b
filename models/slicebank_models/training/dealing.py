"""Deals groups of cases that belong together out to parts, as even in every answer as groups allow.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML PKDD 2011): the rarest answer first, each patient to the part that
lacks it most. A group is a patient, or a site with all its patients.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.targets import Case
from slicebank_models.training.strata import Stratum

_FULL = 1e-9  # patients; what is lacked of a share but for rounding


@dataclass(frozen=True, slots=True)
class Groups:
    """What must not be divided, in the order in which the cases name it.

    Attributes:
        members: Per group its positions in the list of cases, ascending.
        sizes: Patients per group.
        strata: Per group, how many of its patients have each stratum; a patient of many cases counts once.
    """

    members: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    strata: tuple[Counter[Stratum], ...]

    def cases(self, groups: frozenset[int]) -> tuple[int, ...]:
        """Returns the positions of all cases of some groups, ascending."""
        return tuple(sorted(at for group in groups for at in self.members[group]))


class _Rooms:
    """Whole places of parts: each has its share rounded down, and what is left over goes one each to whoever asks first."""

    def __init__(self, shares: NDArray[np.float64]) -> None:
        self._places = np.floor(shares + _FULL).astype(int)
        self._spare = round(float(shares.sum())) - int(self._places.sum())
        self._extended: set[int] = set()

    def has_one(self, part: int) -> bool:
        """Returns whether one more fits."""
        return self._places[part] > 0 or (self._spare > 0 and part not in self._extended)

    def take(self, part: int) -> None:
        """Takes a place; a part without one takes a spare one, or none where the empty come first."""
        if self._places[part] > 0:
            self._places[part] -= 1
        else:
            self._spare -= 1
            self._extended.add(part)


def groups_of(cases: Sequence[Case], strata: Sequence[tuple[Stratum, ...]], *, by_site: bool) -> Groups:
    """Groups cases by patient, or by site: patients of one site together, and sites that share a patient too."""
    leader: dict[str, str] = {}

    def leader_of(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    # Prefixes keep patients and sites of the same name apart.
    for case in cases:
        patient = leader_of(f"patient {case.patient}")
        if by_site and case.site:
            leader[leader_of(f"site {case.site}")] = patient
    members: dict[str, list[int]] = {}
    for at, case in enumerate(cases):
        members.setdefault(leader_of(f"patient {case.patient}"), []).append(at)
    found = tuple(tuple(places) for places in members.values())
    had = [{(cases[at].patient, stratum) for at in places for stratum in strata[at]} for places in found]
    return Groups(
        members=found,
        sizes=tuple(len({cases[at].patient for at in places}) for places in found),
        strata=tuple(Counter(stratum for _, stratum in pairs) for pairs in had),
    )


def deal(
    groups: Groups, waiting_groups: frozenset[int], shares: tuple[float, ...], generator: np.random.Generator
) -> tuple[frozenset[int], ...]:
    """Deals groups out to parts of the given relative sizes, each of at least one group where there are enough.

    Where groups are single patients, the size of a part is its share, rounded down or up.

    Args:
        groups: All of them.
        waiting_groups: Numbers of those to deal out.
        shares: Relative sizes of the parts, in patients.
        generator: Decides between equals.
    """
    strata = groups.strata
    waiting = sorted(waiting_groups)
    generator.shuffle(waiting)
    if len(groups.members) < sum(groups.sizes):
        # Large sites first: what is dealt last evens the parts out, and only small sites can.
        waiting.sort(key=lambda group: -groups.sizes[group])
    fractions = np.array(shares, dtype=np.float64) / sum(shares)
    totals: Counter[Stratum] = Counter()
    for group in waiting:
        totals.update(strata[group])
    wanted = {stratum: total * fractions for stratum, total in totals.items()}
    wanted_patients = sum(groups.sizes[group] for group in waiting) * fractions
    rooms = _Rooms(wanted_patients) if all(groups.sizes[group] == 1 for group in waiting) else None
    parts: list[set[int]] = [set() for _ in shares]
    while waiting:
        left = Counter(stratum for group in waiting for stratum in strata[group])
        rarest = min(left, key=lambda stratum: (left[stratum], stratum), default=None)
        now = [group for group in waiting if rarest is None or strata[group][rarest]]
        for group in now:
            wish = wanted[rarest] if rarest is not None else wanted_patients
            # An empty part comes first (every part needs a group), then one that is not full, then the greatest wish.
            part = max(
                range(len(parts)),
                key=lambda at: (
                    not parts[at],
                    wanted_patients[at] > _FULL if rooms is None else rooms.has_one(at),
                    wish[at],
                    wanted_patients[at],
                    -at,
                ),
            )
            parts[part].add(group)
            if rooms is not None:
                rooms.take(part)
            wanted_patients[part] -= groups.sizes[group]
            for stratum, count in strata[group].items():
                wanted[stratum][part] -= count
        taken = set(now)
        waiting = [group for group in waiting if group not in taken]
    return tuple(frozenset(part) for part in parts)
