"""What sources.toml says."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).with_name("sources.toml")


@dataclass(frozen=True, slots=True)
class Collection:
    """A published collection of CT.

    Attributes:
        title: As TCIA writes it into its private element (0013,1010).
        terms: Licence of the data.
        citation: What the licence asks to be named.
    """

    title: str
    terms: str
    citation: str


@dataclass(frozen=True, slots=True)
class SliceRepository:
    """A repository that passes on slices of one collection.

    Attributes:
        repository: OWNER/NAME on GitHub.
        commit: 40 hexadecimal digits.
        path: What is read lies below it; empty for everything.
        collection: Key of the collection, and the folder it is collected into.
        repository_terms: Licence of the repository itself.
        slices: How many are taken.
    """

    repository: str
    commit: str
    path: str
    collection: str
    repository_terms: str
    slices: int


@dataclass(frozen=True, slots=True)
class BoxRepository:
    """A repository that holds annotations of one collection.

    Attributes:
        reader: Which box reader understands them.
        repository: OWNER/NAME on GitHub.
        commit: 40 hexadecimal digits.
        path: What is read lies below it; empty for everything.
        pattern: Of the paths to read, as for fnmatch.
        collection: Whose slices they are about.
        terms: Licence of the annotations.
        citation: What the licence asks to be named.
        boxes: How many fall on slices that are taken.
        left_out: Git blobs that are not read.
    """

    reader: str
    repository: str
    commit: str
    path: str
    pattern: str
    collection: str
    terms: str
    citation: str
    boxes: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShelfFolder:
    """A series of the tests' real CT.

    Attributes:
        folder: Below the shelf.
        name: What it is collected as.
        repository: Where it was published, OWNER/NAME on GitHub.
        collection: Key of the collection that its files say they belong to; empty where they say none.
        terms: Of the repository.
        slices: How many files it has.
    """

    folder: str
    name: str
    repository: str
    collection: str
    terms: str
    slices: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that is gathered."""

    collections: Mapping[str, Collection]
    slices: tuple[SliceRepository, ...]
    boxes: tuple[BoxRepository, ...]
    shelf: tuple[ShelfFolder, ...]

    @property
    def repositories(self) -> tuple[SliceRepository | BoxRepository, ...]:
        """All that must be cloned, one more than once where it holds both."""
        return (*self.slices, *self.boxes)


def read_sources(path: Path = SOURCES) -> Sources:
    """Reads the file; a missing or unknown key is a TypeError."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Sources(
        {key: Collection(**entry) for key, entry in content["collections"].items()},
        tuple(SliceRepository(**entry) for entry in content["slices"]),
        tuple(BoxRepository(**{**entry, "left_out": tuple(entry.get("left_out", ()))}) for entry in content["boxes"]),
        tuple(ShelfFolder(**entry) for entry in content["shelf"]),
    )
