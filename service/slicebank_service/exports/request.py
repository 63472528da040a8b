"""What an export is asked for."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slicebank_models.registry import DEFAULT_ENCODER
from slicebank_service.context import ENCODER_PATTERN, ID_PATTERN
from slicebank_service.exports.layouts import Layout


class ExportRequest(BaseModel):
    """Which bags, in whose layout."""

    model_config = ConfigDict(extra="forbid")

    layout: Layout = Field(description="Whose folder the cohort becomes.")
    encoder: str = Field(DEFAULT_ENCODER, pattern=ENCODER_PATTERN, description="Encoder of the bags.")
    recipe_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None,
        description="Recipe of the bags; needed where the encoder has bags of several and none of its default one.",
    )
    labels: str | list[dict[str, Any]] | list[list[Any]] | None = Field(
        None,
        description="CSV text or rows, as for a head: only the bags they name are exported, and the tables hold them.",
    )
    strict: bool = Field(False, description="Refuse if any row of the labels names no stored bag.")
    thumbnails: bool = Field(False, description="Whether HDF5 files keep the pictures of the slices.")
    attention_of: Annotated[str, Field(pattern=ID_PATTERN)] | None = Field(
        None, description="Parquet: a head, whose attention becomes a column for the bags it was asked about."
    )
    skip: list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]] = Field(
        default_factory=list, description="Ids of bags whose files are there already; tables name them all the same."
    )

    @model_validator(mode="after")
    def _attention_has_a_column(self) -> Self:
        if self.attention_of is not None and self.layout is not Layout.PARQUET:
            raise ValueError("attention_of needs the layout parquet; the others have no place for it")
        return self
