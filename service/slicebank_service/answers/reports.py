"""Figures of a head as the REST interface lists them."""

from __future__ import annotations

from pydantic import BaseModel


class PlotView(BaseModel):
    """A figure: `GET /heads/{head}/plots/{name}?part={part}`."""

    name: str
    part: str
    title: str
    about: str


class PlotList(BaseModel):
    """All of them."""

    items: list[PlotView]
