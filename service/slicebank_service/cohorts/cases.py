"""From labels to the bags they name: the cases that a head is trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from slicebank_models.errors import MalformedLabels
from slicebank_models.heads.protocol import Pooling
from slicebank_models.heads.targets import LabelKey, Target
from slicebank_service.context import Context
from slicebank_store.catalogue import BagRecord


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """One case.

    Attributes:
        bags: one, or several whose rows are laid end to end, ordered by series.
        target: answers of this case, in the order of the task's labels.
        unit: what the label names, as the catalogue calls it.
        site: where the patient comes from; empty where not known.
    """

    bags: tuple[BagRecord, ...]
    target: Target
    unit: str
    site: str = ""

    @property
    def patient(self) -> str:
        """Whose it is."""
        return self.bags[0].patient


@dataclass(frozen=True, slots=True)
class Matched:
    """Labels and stored bags, brought together.

    Attributes:
        cases: ordered by the series of their first bags.
        unmatched: keys of the labels that name no stored bag, as the client wrote them.
    """

    cases: tuple[LabelledCase, ...]
    unmatched: tuple[str, ...]

    @property
    def bags(self) -> tuple[BagRecord, ...]:
        """Every bag of every case."""
        return tuple(bag for case in self.cases for bag in case.bags)


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels by what they are keyed by.

    Attributes:
        targets: answers by key, as the client wrote it.
        sites: site by key; keys without one are missing.
    """

    key: LabelKey
    targets: Mapping[str, Target]
    sites: Mapping[str, str] = field(default_factory=dict)


def match_bags(context: Context, labels: Labels, recipe_digest: str, pooling: Pooling = Pooling.LARGEST) -> Matched:
    """Finds the stored bags that labels speak of.

    A label of a series means its standing bag (current revision, default stack). What a label of a study or a patient means, the
    pooling rule says.

    Args:
        context: the application's collaborators.
        labels: what the project hashes of their keys is hashed here.
        recipe_digest: only bags of this recipe.
        pooling: what several series of a study or a patient become.

    Raises:
        MalformedLabels: two keys mean the same, with other labels.
    """
    stored = _stored_names(context, labels)
    bags = bags_of(context, labels.key, stored, recipe_digest=recipe_digest)
    name_of = NAMES[labels.key]
    if labels.key is not LabelKey.SERIES_UID and pooling is Pooling.LARGEST:
        bags = one_a_study(bags)
    grouped = _together(bags, name_of) if pooling is Pooling.ONE_BAG else [(bag,) for bag in bags]
    cases = tuple(
        LabelledCase(
            bags=members,
            target=labels.targets[stored[name_of(members[0])]],
            unit=name_of(members[0]),
            site=labels.sites.get(stored[name_of(members[0])], ""),
        )
        for members in grouped
    )
    matched = {stored[case.unit] for case in cases}
    return Matched(cases, tuple(name for name in stored.values() if name not in matched))


NAMES: Mapping[LabelKey, Callable[[BagRecord], str]] = {
    LabelKey.SERIES_UID: lambda bag: bag.series_uid,
    LabelKey.STUDY_UID: lambda bag: bag.study_uid,
    LabelKey.PATIENT: lambda bag: bag.patient,
}
"""What a bag's label is keyed by."""


def bags_of(
    context: Context,
    key: LabelKey,
    names: Sequence[str] | Mapping[str, str],
    *,
    recipe_digest: str | None = None,
    encoder: str | None = None,
) -> list[BagRecord]:
    """The standing bags of series, studies or patients, ordered by series."""
    current = context.catalogue.bags.current
    wanted = list(names)
    if key is LabelKey.SERIES_UID:
        found = current(context.project, recipe_digest=recipe_digest, encoder=encoder, series_uids=wanted)
    elif key is LabelKey.STUDY_UID:
        found = current(context.project, recipe_digest=recipe_digest, encoder=encoder, study_uids=wanted)
    else:
        found = current(context.project, recipe_digest=recipe_digest, encoder=encoder, patients=wanted)
    return list(found)


def one_a_study(bags: Sequence[BagRecord]) -> list[BagRecord]:
    """Of each study the bag with the most slices; on a tie that of the first SeriesInstanceUID."""
    best: dict[str, BagRecord] = {}
    for bag in largest_first(bags):
        best.setdefault(bag.study_uid, bag)
    return sorted(best.values(), key=lambda bag: bag.series_uid)


def largest_first(bags: Sequence[BagRecord]) -> list[BagRecord]:
    """Bags with more slices first; on a tie that of the first SeriesInstanceUID."""
    return sorted(bags, key=lambda bag: (-bag.n_slices, bag.series_uid))


def _stored_names(context: Context, labels: Labels) -> dict[str, str]:
    """What the catalogue calls each key -> as the client wrote it."""
    names = context.pseudonyms
    asked = names.patient_asked if labels.key is LabelKey.PATIENT else names.uid_asked
    stored: dict[str, str] = {}
    for name, target in labels.targets.items():
        first = stored.setdefault(asked(name), name)
        if first != name and labels.targets[first] != target:
            raise MalformedLabels(
                f"{first[:64]!r} and {name[:64]!r} mean the same {labels.key}, with other labels; keep one of the two rows"
            )
    return stored


def _together(bags: Sequence[BagRecord], name_of: Callable[[BagRecord], str]) -> list[tuple[BagRecord, ...]]:
    members: dict[str, list[BagRecord]] = {}
    for bag in bags:
        members.setdefault(name_of(bag), []).append(bag)
    return [tuple(group) for group in members.values()]
