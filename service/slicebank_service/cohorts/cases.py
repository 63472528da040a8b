"""From labels to the bags they name: the cases that a head is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slicebank_models.heads.targets import LabelKey, Target
from slicebank_service.context import Context
from slicebank_store.catalogue import BagRecord


@dataclass(frozen=True, slots=True)
class LabelledBag:
    """One case.

    Attributes:
        target: answers of this case, in the order of the task's labels.
    """

    bag: BagRecord
    target: Target


@dataclass(frozen=True, slots=True)
class Matched:
    """Labels and stored bags, brought together.

    Attributes:
        cases: one a bag, ordered by series.
        unmatched: keys of the labels that name no stored bag, as the client wrote them.
    """

    cases: tuple[LabelledBag, ...]
    unmatched: tuple[str, ...]


def match_bags(context: Context, key: LabelKey, targets: Mapping[str, Target], recipe_digest: str) -> Matched:
    """Finds the stored bags that labels speak of.

    A label of a series means its standing bag (current revision, default stack). A label of a study means one bag: that of its
    series with the most slices. A label of a patient means one bag of each of the patient's studies.

    Args:
        context: the application's collaborators.
        key: what the labels are keyed by.
        targets: by key, as the client wrote it; what the project hashes is hashed here.
        recipe_digest: only bags of this recipe.
    """
    catalogue, project = context.catalogue, context.project
    if key is LabelKey.SERIES_UID:
        stored = {context.pseudonyms.uid_asked(name): name for name in targets}
        bags = catalogue.bags.current(project, recipe_digest=recipe_digest, series_uids=stored)
        found = [(bag.series_uid, bag) for bag in bags]
    elif key is LabelKey.STUDY_UID:
        stored = {context.pseudonyms.uid_asked(name): name for name in targets}
        bags = catalogue.bags.current(project, recipe_digest=recipe_digest, study_uids=stored)
        found = [(bag.study_uid, bag) for bag in one_a_study(bags)]
    else:
        stored = {context.pseudonyms.patient_asked(name): name for name in targets}
        bags = catalogue.bags.current(project, recipe_digest=recipe_digest, patients=stored)
        found = [(bag.patient, bag) for bag in one_a_study(bags)]
    cases = tuple(LabelledBag(bag, targets[stored[name]]) for name, bag in found)
    matched = {stored[name] for name, _ in found}
    return Matched(cases, tuple(name for name in targets if name not in matched))


def one_a_study(bags: Sequence[BagRecord]) -> list[BagRecord]:
    """Of each study the bag with the most slices; on a tie that of the first SeriesInstanceUID."""
    best: dict[str, BagRecord] = {}
    for bag in sorted(bags, key=lambda bag: (-bag.n_slices, bag.series_uid)):
        best.setdefault(bag.study_uid, bag)
    return sorted(best.values(), key=lambda bag: bag.series_uid)
