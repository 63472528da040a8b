"""Which series of a study are pulled, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from slicebank_store.errors import NothingSelected, StudyNotFound
from slicebank_store.pacs.client import PacsClient
from slicebank_store.pacs.header_facts import facts_of_file
from slicebank_store.pacs.selecting import SeriesFacts, SeriesRules, largest


@dataclass(slots=True)
class Choice:
    """Series of a study.

    Attributes:
        series: those that are wanted, as far as is known.
        left_out: the rule that each of the others breaks, by SeriesInstanceUID.
    """

    series: list[SeriesFacts] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Sees that something is left.

        Raises:
            NothingSelected: no series is.
        """
        if not self.series:
            rules = ", ".join(sorted(set(self.left_out.values())))
            raise NothingSelected(
                f"None of the {len(self.left_out)} series of the study fits the rules ({rules}): see `select` of the import."
            )

    def keep(self, wanted: SeriesFacts) -> None:
        """Leaves all series out but one."""
        self.left_out |= {item.series_uid: "largest_only" for item in self.series if item is not wanted}
        self.series = [wanted]


def choose(
    client: PacsClient, study_uid: str, rules: SeriesRules, *, decide_now: bool, check: Callable[[], None]
) -> Choice:
    """Judges the series of a study by what the PACS says of them.

    Args:
        client: of the PACS.
        study_uid: the study as the PACS knows it.
        rules: what is wanted.
        decide_now: leave out what the PACS does not say enough of; otherwise it is pulled and judged by its headers.
        check: called between questions; what it raises ends the choice.

    Raises:
        StudyNotFound: the PACS has no such study.
        NothingSelected: no series is left.
        PacsError: the PACS cannot tell.
    """
    offered = client.find_series(study_uid)
    if not offered:
        raise StudyNotFound("The PACS has no such study, or its address is not that of its DICOM interface.")
    choice = Choice()
    for facts in offered:
        check()
        broken = rules.broken_by(facts)
        if broken is None and rules.undecided(facts) is not None:
            facts = facts.filled(client.first_instance(study_uid, facts.series_uid))
            broken = rules.broken_by(facts)
        if broken is None and decide_now and (unknown := rules.undecided(facts)) is not None:
            broken = f"{unknown}_unknown"
        if broken is None:
            choice.series.append(facts)
        else:
            choice.left_out[facts.series_uid] = broken
    decided = all(item.n_images is not None and rules.undecided(item) is None for item in choice.series)
    if rules.largest_only and choice.series and (decided or decide_now):
        choice.keep(largest(choice.series))
    choice.check()
    return choice


def judge_pulled(choice: Choice, rules: SeriesRules, files: Callable[[str], list[Path]]) -> None:
    """Judges again what was pulled: by headers and by how many files came.

    Raises:
        NothingSelected: no series is left.
    """
    offered, choice.series = choice.series, []
    for facts in offered:
        pulled = files(facts.series_uid)
        full = replace(facts, n_images=len(pulled))
        if pulled and rules.undecided(full) is not None:
            full = full.filled(facts_of_file(pulled[0], facts.series_uid))
        broken = rules.broken_by(full)
        # A rule about what no header says is not kept, whatever the pixels are.
        if broken is None and (unknown := rules.undecided(full)) is not None:
            broken = f"{unknown}_unknown"
        if broken is None:
            choice.series.append(full)
        else:
            choice.left_out[facts.series_uid] = broken
    if rules.largest_only and len(choice.series) > 1:
        choice.keep(largest(choice.series))
    choice.check()
