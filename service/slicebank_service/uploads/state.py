"""What is known of a resumable upload beside its bytes: a small file in its folder, replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slicebank_service.answers.series import UploadAnswer
from slicebank_service.errors import NothingUsable
from slicebank_service.intake.asked import IntakeQuery
from slicebank_store.identity import new_id

_FILE = "tus.json"


class Refusal(BaseModel):
    """That nothing of an upload could be used."""

    model_config = ConfigDict(frozen=True)

    detail: str
    rejected: list[dict[str, Any]]
    refused_series: list[dict[str, Any]]

    @classmethod
    def of(cls, error: NothingUsable) -> Refusal:
        """The refusal as it is kept: names of files, which are the sender's own, are told once and written nowhere."""
        return cls(
            detail=error.detail,
            rejected=[{**item, "name": _ordinal(n)} for n, item in enumerate(error.extra["rejected"])],
            refused_series=error.extra["refused_series"],
        )

    def error(self) -> NothingUsable:
        """What is raised where somebody asks again."""
        return NothingUsable(self.detail, rejected=self.rejected, refused_series=self.refused_series)


class UploadState(BaseModel):
    """What is known of an upload.

    Attributes:
        length: bytes there are to be.
        suffix: of the sender's file name, where it is a known one; nothing else of that name is kept.
        asked: without names.
        answer: as given once all was taken in, without names of files.
        refusal: given in its place.
    """

    model_config = ConfigDict(frozen=True)

    project: str
    length: int
    suffix: str
    asked: IntakeQuery
    answer: UploadAnswer | None = None
    refusal: Refusal | None = None

    @property
    def answered(self) -> bool:
        """Whether the bytes have been taken in or refused; they are gone then."""
        return self.answer is not None or self.refusal is not None

    def with_answer(self, answer: UploadAnswer) -> UploadState:
        """The same with its answer, without names of files."""
        nameless = [item.model_copy(update={"name": _ordinal(n)}) for n, item in enumerate(answer.rejected)]
        return self.model_copy(update={"answer": answer.model_copy(update={"rejected": nameless})})

    def write(self, folder: Path) -> None:
        """Replaces the file in a folder."""
        making = folder / f"{_FILE}-{new_id()}"
        making.write_text(self.model_dump_json(), encoding="utf-8")
        making.replace(folder / _FILE)

    @classmethod
    def read(cls, folder: Path) -> UploadState:
        """Reads the file in a folder.

        Raises:
            FileNotFoundError: there is none.
        """
        return cls.model_validate_json((folder / _FILE).read_bytes())


def states_below(root: Path) -> list[Path]:
    """The folders below `root` that have such a file."""
    return [path.parent for path in root.glob(f"*/{_FILE}")]


def _ordinal(number: int) -> str:
    return f"file {number + 1}"
