"""The attention of an answer by row and by slice, as it is stored and told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.answers import HeadPrediction
from slicebank_store.bags import Bag
from slicebank_store.bags.format import MICROMETRES_PER_MM, NO_INSTANCE_NUMBER, SCAN_INDEX
from slicebank_store.types import BagLevel

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attended:
    """A bag that was asked about.

    Attributes:
        rows: (n) rows of it that the head read.
    """

    series_uid: str
    bag: Bag
    rows: NDArray[np.intp]


def attention_json(bags: Sequence[Attended], answer: HeadPrediction) -> JSON:
    """Attention by row and by slice.

    Args:
        bags: what was asked about.
        answer: what was said; attention in the order of the bags and their rows.

    Returns:
        `rows`, one object a row that the head read; `slices`, one object a slice: its weight is the sum over its rows, rank 1 is the
        slice with the greatest weight. Weights sum to 1 in both; `percentile` is among all rows, or all slices. Where there are
        several bags, each row and slice names its `series_uid`. `labels`, where the head has attention for each label: weights and
        logits in the order of the rows.
    """
    rows: list[JSON] = []
    slices: list[JSON] = []
    start = 0
    for item in bags:
        named = {"series_uid": item.series_uid} if len(bags) > 1 else {}
        part = slice(start, start + len(item.rows))
        start = part.stop
        weights, logits = answer.attention[part], answer.attention_logits[part]
        told = _rows(item.bag, item.rows, weights.tolist(), logits.tolist())
        rows += [{**named, **row} for row in told] if named else told
        if item.bag.level is not BagLevel.SCAN:
            slices += [{**named, **entry} for entry in _slices(item.bag, item.rows, weights)]
    _rank(rows, slices)
    found: JSON = {"rows": rows, "slices": slices}
    if answer.output_attention is not None and answer.output_attention_logits is not None:
        found["labels"] = [
            {"label": output.label, "weights": weights, "logits": logits}
            for output, weights, logits in zip(
                answer.outputs, answer.output_attention.tolist(), answer.output_attention_logits.tolist(), strict=True
            )
        ]
    return found


def percentiles(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percentile rank of each weight: the share of all that are lower, those that are equal (itself too) counting half; 0 to 100."""
    order = np.sort(weights)
    lower, upper = np.searchsorted(order, weights, "left"), np.searchsorted(order, weights, "right")
    ranks: NDArray[np.float64] = 50.0 * (lower + upper) / len(weights)
    return ranks


_NOWHERE: JSON = {
    "slice_index": SCAN_INDEX,
    "window": None,
    "sop_instance_uid": None,
    "instance_number": None,
    "z_mm": None,
}


def _rows(bag: Bag, rows: NDArray[np.intp], weights: list[float], logits: list[float]) -> list[JSON]:
    if bag.level is BagLevel.SCAN:
        return [
            {
                "row": int(row),
                "slice_index": SCAN_INDEX,
                "window": None,
                "sop_instance_uid": None,
                "instance_number": None,
                "z_mm": _number(float(bag.coords[row, 0]) / MICROMETRES_PER_MM),
                "weight": weight,
                "logit": logit,
            }
            for row, weight, logit in zip(rows, weights, logits, strict=True)
        ]
    # Looked up once a slice, not once a row; bags made elsewhere may not say of which slice or window a row is.
    told = {SCAN_INDEX: _NOWHERE}
    numbers = bag.slice_numbers.tolist()
    per_slice = (bag.sop_instance_uid, bag.instance_number.tolist(), bag.z_mm.tolist())
    for index, uid, instance, z_mm in zip(numbers, *per_slice, strict=True):
        told[index] = {
            "slice_index": index,
            "window": None,
            "sop_instance_uid": uid or None,
            "instance_number": None if instance == NO_INSTANCE_NUMBER else instance,
            "z_mm": _number(z_mm),
        }
    windows: dict[int, str | None] = {number: window.name for number, window in enumerate(bag.windows)}
    indices, of_window = bag.slice_index[rows].tolist(), bag.window_index[rows].tolist()
    return [
        {"row": row, **told[index], "window": windows.get(window), "weight": weight, "logit": logit}
        for row, index, window, weight, logit in zip(rows.tolist(), indices, of_window, weights, logits, strict=True)
    ]


def _slices(bag: Bag, rows: NDArray[np.intp], weights: NDArray[np.float64]) -> list[JSON]:
    uids = dict(zip(bag.slice_numbers.tolist(), bag.sop_instance_uid, strict=True))
    indices, place = np.unique(bag.slice_index[rows], return_inverse=True)
    sums = np.bincount(place, weights=weights)
    return [
        {
            "slice_index": index,
            "sop_instance_uid": uids[index] or None,
            "weight": weight,
        }
        for index, weight in zip(indices.tolist(), sums.tolist(), strict=True)
        if index >= 0
    ]


def _rank(rows: list[JSON], slices: list[JSON]) -> None:
    for part in (rows, slices):
        if part:
            shares = percentiles(np.array([item["weight"] for item in part]))
            for item, share in zip(part, shares.tolist(), strict=True):
                item["percentile"] = round(share, 3)
    # The order of bags and slices decides between equals.
    ranked = sorted(range(len(slices)), key=lambda place: -slices[place]["weight"])
    for rank, place in enumerate(ranked, start=1):
        slices[place]["rank"] = rank


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
