"""What is asked of an upload, as the query of its request."""

from __future__ import annotations

from typing import Literal

Asked = dict[str, str | int | float | bool | None]


def intake_query(
    *,
    encoder: str | None = None,
    embed: bool = True,
    retain: bool = False,
    stack: int | Literal["all"] | None = None,
    priority: Literal["interactive", "bulk"] | None = None,
    patient: str | None = None,
    study_uid: str | None = None,
    assume_rescale: tuple[float, float] | None = None,
    force: str | None = None,
) -> Asked:
    """The query of POST /v1/series, where what is None is left to the server; see `SeriesResource.upload`."""
    return {
        "encoder": encoder,
        "embed": None if embed else False,
        "retain": True if retain else None,
        "stack": stack,
        "priority": priority,
        "patient": patient,
        "study_uid": study_uid,
        "assume_rescale": None if assume_rescale is None else f"{assume_rescale[0]!r},{assume_rescale[1]!r}",
        "force": force,
    }
