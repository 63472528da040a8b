from __future__ import annotations

import pytest

from slicebank_store.pacs.asking import is_uid
from slicebank_store.pacs.selecting import SeriesFacts, SeriesRules, largest

FULL = SeriesFacts("1.2", "CT", "Lung 1.0 B70s", "B70s\\3", 1.0, 300)


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        (SeriesRules(), None),
        (SeriesRules(modality=()), None),
        (SeriesRules(modality=("PT",)), "modality"),
        (SeriesRules(min_thickness_mm=1.0, max_thickness_mm=1.0), None),
        (SeriesRules(min_thickness_mm=1.5), "min_thickness_mm"),
        (SeriesRules(max_thickness_mm=0.9), "max_thickness_mm"),
        (SeriesRules(kernel=("b7?s",)), None),
        (SeriesRules(kernel=("b7?",)), "kernel"),
        (SeriesRules(kernel=("B30f", "3")), None),
        (SeriesRules(kernel=("!B7*",)), "kernel"),
        (SeriesRules(description=("LUNG*",)), None),
        (SeriesRules(description=("*", "!*b70*")), "description"),
        (SeriesRules(min_images=300), None),
        (SeriesRules(min_images=301), "min_images"),
    ],
)
def test_rules(rules: SeriesRules, broken: str | None) -> None:
    assert rules.broken_by(FULL) == broken
    assert rules.undecided(FULL) is None
    assert rules.broken_by(SeriesFacts("1.2")) is None
    assert SeriesRules.from_dict(rules.as_dict()) == rules


def test_what_is_not_known_is_not_decided() -> None:
    bare = SeriesFacts("1.2", "CT")
    assert SeriesRules().undecided(bare) is None
    assert SeriesRules(max_thickness_mm=1).undecided(bare) == "thickness"
    assert SeriesRules(kernel=("!B*",)).undecided(bare) == "kernel"
    assert SeriesRules(description=("a",)).undecided(bare) == "description"
    assert bare.filled(FULL) == FULL


def test_the_largest_is_the_same_however_a_pacs_sorts() -> None:
    twins = [SeriesFacts("1.3", n_images=5), SeriesFacts("1.2", n_images=5), SeriesFacts("1.1", n_images=4)]
    assert largest(twins) == largest(twins[::-1]) == twins[1]


@pytest.mark.parametrize(
    ("text", "good"), [("1.2.840", True), ("", False), ("..", False), ("1/2", False), (".1", False)]
)
def test_a_pacs_may_not_name_folders(text: str, good: bool) -> None:
    assert is_uid(text) is good
