"""What sources.toml says is whole."""

from __future__ import annotations

import re

from benchmarks.shipped_encoder.collect import READERS
from benchmarks.shipped_encoder.sources import read_sources

SOURCES = read_sources()


def test_repositories_are_pinned() -> None:
    for entry in SOURCES.repositories:
        assert re.fullmatch(r"[0-9a-f]{40}", entry.commit), entry.repository
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.repository)


def test_every_collection_is_used_and_has_terms_and_a_citation() -> None:
    assert {entry.collection for entry in SOURCES.repositories} == set(SOURCES.collections)
    for collection in SOURCES.collections.values():
        assert re.fullmatch(r"CC BY [34]\.0", collection.terms)
        assert "doi:10.7937/" in collection.citation
    for entry in SOURCES.boxes:
        assert entry.terms.startswith("CC BY")
        assert "doi:10.7937/" in entry.citation


def test_every_reader_is_used() -> None:
    assert {entry.reader for entry in SOURCES.boxes} == set(READERS)


def test_counts_are_those_of_the_shipped_encoder() -> None:
    assert sum(entry.slices for entry in (*SOURCES.slices, *SOURCES.shelf)) == 2333
    assert sum(entry.boxes for entry in SOURCES.boxes) == 149


def test_the_shelf_names_known_collections() -> None:
    assert {entry.collection for entry in SOURCES.shelf} <= {"", *SOURCES.collections}
