"""Starting without the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from slicebank_store.starting import without_collection


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_was_made_inside_is_left_alone_and_what_comes_later_is_not() -> None:
    with without_collection():
        assert not gc.isenabled()
        kept = [{} for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), without_collection():
        raise ImportError
    assert gc.isenabled()
