"""Where the weights of an encoder are published. No torch here."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slicebank_models.errors import BadCard

REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
DATASETS = "datasets/"
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """A file of a repository on a hub of models.

    Attributes:
        repo: `owner/name` on the Hugging Face hub or a mirror of it.
        file: Path of the weights inside the repository.
        revision: Branch, tag or commit.
        sha256: Of the file as published, hex; empty where it is not known. A pull that gives another file is refused.
        gated: The owner wants its terms accepted first; pulling needs a token.
        licence_url: Where the terms can be read.
        dataset: The repository is one of data, as hubs tell them apart from those of models.
    """

    repo: str
    file: str
    revision: str = "main"
    sha256: str = ""
    gated: bool = False
    licence_url: str = ""
    dataset: bool = False

    def __post_init__(self) -> None:
        if not REPOSITORY.fullmatch(self.repo):
            raise BadCard(f"Repository {self.repo!r} must be owner/name.")
        if not self.file or self.file.startswith("/") or ".." in self.file.split("/"):
            raise BadCard(f"File {self.file!r} must be a path inside the repository.")
        if self.sha256 and not SHA256.fullmatch(self.sha256):
            raise BadCard("A sha256 is 64 lower-case hexadecimal digits.")

    @property
    def place(self) -> str:
        """The repository as addresses of a hub and folders of a mirror name it."""
        return f"{DATASETS}{self.repo}" if self.dataset else self.repo

    def as_dict(self) -> dict[str, Any]:
        """Returns JSON-able values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "WeightsSource":
        """Reads what `as_dict` wrote.

        Raises:
            BadCard: An unknown, missing or unusable value.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise BadCard(f"The source of a card lacks a value or has an unusable one: {error}") from error
