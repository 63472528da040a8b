"""Windows of Hounsfield units and their exact 8-bit rendering."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_imaging.errors import BadOption

PADDING_HU = -2048.0
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Window:
    """A range of Hounsfield units shown from black (`low`) to white (`high`)."""

    name: str
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """JSON form: name, low, high."""
        return asdict(self)


NAMED: Mapping[str, Window] = MappingProxyType(
    {
        window.name: window
        for window in (
            Window("abdomen", -175.0, 275.0),  # the LECL paper's abdominal window
            Window("lung", -1500.0, 500.0),  # the LECL paper's lung window
            Window("full", -1024.0, 3071.0),  # all values of 12-bit CT with intercept -1024
            Window("mediastinum", -160.0, 240.0),  # level 40, width 400: RadLex playbook soft tissue
            Window("liver", -45.0, 105.0),  # level 30, width 150: usual liver preset of viewers (OHIF, Radiopaedia)
            Window("bone", -450.0, 1050.0),  # level 300, width 1500: 3D Slicer's CT-Bone is 400/1000, Radiopaedia 1800
            Window("brain", 0.0, 80.0),  # level 40, width 80: usual brain preset (Radiopaedia, OHIF)
        )
    }
)


def parse_windows(values: Sequence[str | Mapping[str, Any]]) -> tuple[Window, ...]:
    """Windows from their names or from `{name, low, high}` in HU, in the order given.

    Raises:
        BadOption: an unknown name, a name twice, or bounds that are not an increasing pair of numbers.
    """
    windows = tuple(_parse(value) for value in values)
    if not windows:
        raise BadOption(f"name at least one window; known are {', '.join(NAMED)}")
    if len({window.name for window in windows}) < len(windows):
        raise BadOption("a window is named twice; rows are told apart by window name")
    return windows


def _parse(value: str | Mapping[str, Any]) -> Window:
    if isinstance(value, str):
        if value not in NAMED:
            raise BadOption(f"there is no window {value[:32]!r}; known are {', '.join(NAMED)}, or give name, low, high")
        return NAMED[value]
    try:
        window = Window(str(value["name"]), float(value["low"]), float(value["high"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadOption("a window needs a name and the numbers low and high in Hounsfield units") from None
    if not _NAME.fullmatch(window.name):
        raise BadOption("a window's name has up to 32 lower-case letters, digits, dashes and underscores")
    if not (math.isfinite(window.low) and math.isfinite(window.high)) or window.low >= window.high:
        raise BadOption(f"window {window.name}: low must be a number below high")
    known = NAMED.get(window.name)
    if known is not None and known != window:
        raise BadOption(f"window {window.name} is {known.low:g} to {known.high:g} HU; give other bounds another name")
    return window


def render_gray8(hu: NDArray[np.floating[Any] | np.integer[Any]], window: Window) -> NDArray[np.uint8]:
    """8-bit grey levels of any shape: floor(255 * clip((HU - low) / (high - low), 0, 1) + 0.5), in float64."""
    scaled = (hu.astype(np.float64) - window.low) / (window.high - window.low)
    gray: NDArray[np.uint8] = np.floor(255.0 * np.clip(scaled, 0.0, 1.0) + 0.5).astype(np.uint8)
    return gray
