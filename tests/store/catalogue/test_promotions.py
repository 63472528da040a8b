from __future__ import annotations

import pytest

from slicebank_store.catalogue import Catalogue
from slicebank_store.errors import NoEarlierVersion, UnknownHead

from ..builders import PROJECT, train


def meant(catalogue: Catalogue) -> str:
    head = catalogue.heads.resolve(PROJECT, "nodule")
    assert head is not None
    assert [item.head_id for item in catalogue.heads.versions(PROJECT, "nodule") if item.promoted] == [head.head_id]
    return head.head_id


def reasons(catalogue: Catalogue) -> list[tuple[int, str]]:
    return [(item.version, item.reason.value) for item in catalogue.heads.promotions(PROJECT, "nodule")]


def test_rolling_back_walks_back_and_keeps_the_history(catalogue: Catalogue) -> None:
    first, second, third = (train(catalogue) for _ in range(3))
    catalogue.heads.promote(PROJECT, second)
    catalogue.heads.promote(PROJECT, third)
    catalogue.heads.promote(PROJECT, third)
    assert catalogue.heads.roll_back(PROJECT, "nodule").head_id == second == meant(catalogue)
    assert catalogue.heads.roll_back(PROJECT, "nodule").head_id == first == meant(catalogue)
    with pytest.raises(NoEarlierVersion, match="promote the one"):
        catalogue.heads.roll_back(PROJECT, "nodule")
    assert meant(catalogue) == first
    assert reasons(catalogue) == [
        (1, "trained"), (2, "promoted"), (3, "promoted"), (2, "rolled_back"), (1, "rolled_back"),
    ]  # fmt: skip


def test_a_promotion_after_a_roll_back_is_undone_first(catalogue: Catalogue) -> None:
    first, second, third = (train(catalogue) for _ in range(3))
    catalogue.heads.promote(PROJECT, second)
    catalogue.heads.roll_back(PROJECT, "nodule")
    catalogue.heads.promote(PROJECT, third)
    assert catalogue.heads.roll_back(PROJECT, "nodule").head_id == first
    with pytest.raises(NoEarlierVersion):
        catalogue.heads.roll_back(PROJECT, "nodule")
    assert second not in {meant(catalogue)}


def test_versions_that_are_gone_are_passed_over(catalogue: Catalogue) -> None:
    first, second, third = (train(catalogue) for _ in range(3))
    catalogue.heads.promote(PROJECT, second)
    catalogue.heads.promote(PROJECT, third)
    catalogue.deletions.delete_head(PROJECT, second)
    assert catalogue.heads.roll_back(PROJECT, "nodule").head_id == first
    catalogue.heads.promote(PROJECT, third)
    catalogue.deletions.delete_head(PROJECT, third)
    assert meant(catalogue) == first
    assert reasons(catalogue)[-1] == (1, "deleted")
    with pytest.raises(NoEarlierVersion):
        catalogue.heads.roll_back(PROJECT, "nodule")
    with pytest.raises(UnknownHead):
        catalogue.heads.roll_back(PROJECT, "nobody")
