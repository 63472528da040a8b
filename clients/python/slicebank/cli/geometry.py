"""The geometry report in words; docs/geometry.md has every key of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

# What the sentences below tell; other keys are shown as they are.
TOLD = frozenset(
    [
        "orientation",
        "orientation_name",
        "direction",
        "normal_angle_deg",
        "gantry_tilt_deg",
        "pixel_spacing_mm",
        "spacing_mm",
        "uniform",
        "slice_thickness_mm",
        "gaps",
        "missing_slices",
        "overlapping",
        "overlaps",
        "duplicates",
        "n_slices",
    ]
)
UPRIGHT_DEG = 0.05
# So many gaps and overlaps are told one by one.
SHOWN = 4


def geometry_words(geometry: Mapping[str, Any]) -> dict[str, object]:
    """Names and sentences, in the order in which people ask."""
    words: dict[str, object] = {
        "orientation": _orientation(geometry),
        "pixels": _lengths(geometry.get("pixel_spacing_mm"), " x ", " mm"),
        "spacing": _spacing(geometry),
        "slice thickness": _lengths(geometry.get("slice_thickness_mm"), ", ", " mm"),
        "gaps": _gaps(geometry),
        "overlaps": _overlaps(geometry),
        "duplicates": _duplicates(geometry.get("duplicates")),
    }
    rest = {name.replace("_", " "): value for name, value in geometry.items() if name not in TOLD}
    return {name: text for name, text in words.items() if text} | rest


def oddities(geometry: Mapping[str, Any]) -> list[str]:
    """What of a stack's geometry a reader should know before trusting it; empty for an even, upright, whole one."""
    found = []
    tilt = geometry.get("gantry_tilt_deg")
    if _number(tilt) and abs(tilt) > UPRIGHT_DEG:
        found.append(f"gantry tilted by {tilt:.4g} degrees")
    if geometry.get("uniform") is False:
        found.append(f"spacing {_spacing(geometry)}")
    for text, before in (
        (_gaps(geometry), ""),
        (_overlaps(geometry), "overlaps: "),
        (_duplicates(geometry.get("duplicates")), "duplicates: "),
    ):
        if text:
            found.append(before + text)
    return found


def _orientation(geometry: Mapping[str, Any]) -> str:
    name = geometry.get("orientation_name")
    parts = [str(name)] if name else []
    if geometry.get("direction"):
        parts.append(str(geometry["direction"]).replace("_", " "))
    tilt, angle = geometry.get("gantry_tilt_deg"), geometry.get("normal_angle_deg")
    if _number(tilt) and abs(tilt) > UPRIGHT_DEG:
        parts.append(f"gantry tilted by {tilt:.4g} degrees")
    elif _number(angle) and abs(angle) > UPRIGHT_DEG:
        parts.append(f"{angle:.4g} degrees off the long axis")
    return ", ".join(parts)


def _spacing(geometry: Mapping[str, Any]) -> str:
    spacing = geometry.get("spacing_mm")
    if not isinstance(spacing, Mapping):
        return f"{spacing:.4g} mm" if _number(spacing) else ""
    low, middle, high = (spacing.get(name) for name in ("min", "median", "max"))
    if not _number(middle):
        return ""
    if geometry.get("uniform") or not (_number(low) and _number(high)):
        return f"{middle:.4g} mm"
    return f"uneven, {low:.4g} to {high:.4g} mm, median {middle:.4g} mm"


def _gaps(geometry: Mapping[str, Any]) -> str:
    gaps = [item for item in geometry.get("gaps") or () if isinstance(item, Mapping)]
    if not gaps:
        return ""
    missing = geometry.get("missing_slices") or sum(item.get("missing") or 0 for item in gaps)
    told = [
        f"{item.get('missing')} after slice {item.get('after_slice')} ({_mm(item.get('spacing_mm'))})"
        for item in gaps[:SHOWN]
    ]
    slices = "slice is" if missing == 1 else "slices are"
    return f"{missing} {slices} probably missing: {', '.join(told)}{', ...' if len(gaps) > SHOWN else ''}"


def _overlaps(geometry: Mapping[str, Any]) -> str:
    runs = [item for item in geometry.get("overlaps") or () if isinstance(item, Mapping)]
    told = [
        f"slices {item.get('first_slice')} to {item.get('last_slice')} by {_mm(item.get('overlap_mm'))}"
        for item in runs[:SHOWN]
    ]
    if told:
        return f"{', '.join(told)}{', ...' if len(runs) > SHOWN else ''}"
    return "slices are thicker than their distance" if geometry.get("overlapping") else ""


def _duplicates(found: object) -> str:
    if not isinstance(found, Mapping):
        return ""
    parts = []
    if found.get("dropped"):
        parts.append(f"{found['dropped']} {'copy' if found['dropped'] == 1 else 'copies'} left out")
    if found.get("in_other_stacks"):
        one = found["in_other_stacks"] == 1
        parts.append(f"{found['in_other_stacks']} {'position is' if one else 'positions are'} held by other stacks too")
    return ", ".join(parts)


def _lengths(values: object, between: str, unit: str) -> str:
    numbers = values if isinstance(values, (list, tuple)) else [values]
    told = [f"{value:.4g}" for value in numbers if _number(value)]
    return between.join(told) + unit if told else ""


def _mm(value: object) -> str:
    return f"{value:.4g} mm" if isinstance(value, (int, float)) else "? mm"


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
