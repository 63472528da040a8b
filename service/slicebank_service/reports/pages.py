"""Pages as single files: escaped templates, and the headers that keep a browser from loading or running anything."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from slicebank_service import __version__
from slicebank_service.reports.measures import measure_name, number, with_interval, with_spread
from slicebank_service.reports.svg import inline, to_svg

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Nothing is loaded and nothing runs; styles are the page's own, pictures are in it."""

HEADERS: Final = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}

_JPEG = b"\xff\xd8\xff"


def render(template: str, **values: Any) -> str:
    """Fills a template; every value is escaped."""
    return _environment().get_template(template).render(policy=POLICY, software=f"slicebank {__version__}", **values)


def figure_markup(figure: Figure, name: str, title: str) -> Markup:
    """A figure as a part of a page."""
    return inline(to_svg(figure, name), name, title)


def picture_address(jpeg: bytes | None) -> str | None:
    """A picture as an address that holds it; None for what is no JPEG."""
    if jpeg is None or not jpeg.startswith(_JPEG):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("slicebank_service.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "measure_name": measure_name}
    environment.globals |= {"with_interval": with_interval, "with_spread": with_spread}
    return environment
