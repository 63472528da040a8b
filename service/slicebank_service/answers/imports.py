"""Imports as requests and answers show them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_service.context import ID_PATTERN
from slicebank_store.pacs.selecting import SeriesRules
from slicebank_store.types import Priority

# PS3.5 table 6.2-1.
_Uid = Annotated[str, Field(pattern=r"^[0-9]{1,62}(\.[0-9]{1,62}){1,31}$", max_length=64)]
_Pattern = Annotated[str, Field(min_length=1, max_length=128)]
_MOST_STUDIES = 1000


class SelectAsked(BaseModel):
    """Which series of each study; patterns take * and ?, in any case, and one that begins with "!" must not fit."""

    model_config = ConfigDict(extra="forbid")

    modality: list[Annotated[str, Field(pattern=r"^[A-Z0-9]{2,16}$")]] | str = Field(default_factory=lambda: ["CT"])
    min_thickness_mm: float | None = Field(None, ge=0)
    max_thickness_mm: float | None = Field(None, gt=0)
    kernel: list[_Pattern] | str = Field(default_factory=list, description="Of ConvolutionKernel.")
    description: list[_Pattern] | str = Field(default_factory=list, description="Of SeriesDescription.")
    min_images: int | None = Field(None, ge=1)
    largest_only: bool = False

    def rules(self) -> SeriesRules:
        """The rules that this asks for."""
        return SeriesRules(
            modality=tuple(value.upper() for value in _listed(self.modality)),
            min_thickness_mm=self.min_thickness_mm,
            max_thickness_mm=self.max_thickness_mm,
            kernel=_listed(self.kernel),
            description=_listed(self.description),
            min_images=self.min_images,
            largest_only=self.largest_only,
        )


class ImportAsked(BaseModel):
    """Studies of a PACS, by their UIDs or by a query; see `QUERY_KEYS`."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(pattern=ID_PATTERN)
    study_uids: list[_Uid] | None = Field(None, min_length=1, max_length=_MOST_STUDIES)
    query: dict[str, Annotated[str, Field(max_length=256)]] | None = Field(None, min_length=1)
    limit: int = Field(100, ge=1, le=_MOST_STUDIES, description="Studies that a query may find.")
    select: SelectAsked = Field(default_factory=SelectAsked)
    encoder: str = Field(DEFAULT_ENCODER, pattern=ID_PATTERN)
    embed: bool = True
    retain: bool = False
    priority: Priority = Priority.BULK
    group: str | None = Field(None, pattern=ID_PATTERN)
    case: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _names_studies(self) -> ImportAsked:
        if (self.study_uids is None) == (self.query is None):
            raise ValueError("give study_uids or query, and not both")
        if (self.group is None) != (self.case is None):
            raise ValueError("group and case go together")
        return self


class ImportJob(BaseModel):
    """The job of one study."""

    job_id: str
    study_uid: str


class ImportAnswer(BaseModel):
    """What is being imported."""

    jobs: list[ImportJob]
    n_studies: int


class SourceView(BaseModel):
    """A PACS that imports may name."""

    name: str
    kind: str


class SourceList(BaseModel):
    """All of them."""

    items: list[SourceView]


def _listed(value: list[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
