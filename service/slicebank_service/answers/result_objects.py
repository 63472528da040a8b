"""Sending objects to a PACS, as requests and answers show it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from slicebank_service.context import ID_PATTERN

Kind = Literal["sr", "sc"]


class PushAsked(BaseModel):
    """Which objects, and where to: a PACS of kind `dicomweb` that the settings name."""

    model_config = ConfigDict(extra="forbid")

    pacs: str = Field(pattern=ID_PATTERN)
    objects: list[Kind] = Field(["sr", "sc"], min_length=1, max_length=2)
    top: int = Field(5, ge=1, le=8, description="Slices named and shown, most attended first.")


class PushedObject(BaseModel):
    """An object that the PACS has taken."""

    kind: Kind
    series_uid: str
    sop_instance_uid: str


class PushAnswer(BaseModel):
    """What was sent."""

    pacs: str
    study_uid: str
    objects: list[PushedObject]
