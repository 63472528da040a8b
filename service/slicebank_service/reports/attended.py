"""The slices that drove an answer, with their pictures from the bag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slicebank_service.context import Context
from slicebank_service.reports.measures import number
from slicebank_service.reports.pages import picture_address
from slicebank_store.bags import read_thumbnails
from slicebank_store.catalogue import PredictionRecord
from slicebank_store.errors import BadBag, BlobMissing

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AttendedSlice:
    """One slice, as a page shows it.

    Attributes:
        rank: 1 has the most attention.
        slice_index: from the lowest slice up, of its own series.
        weight: its share of the attention, all windows together.
        share: the same against the most attended slice, 0 to 1.
        picture: address that holds the picture; None where the bag keeps none.
    """

    rank: int
    slice_index: int
    weight: float
    share: float
    z_mm: float | None
    instance_number: int | None
    sop_instance_uid: str | None
    series_uid: str
    picture: str | None


def attended_slices(context: Context, prediction: PredictionRecord, top: int) -> list[AttendedSlice]:
    """The most attended slices of an answer, most first; none where the encoder reads the scan as a whole."""
    ranked = sorted(prediction.attention["slices"], key=lambda item: item["rank"])
    shown = [item for item in ranked if item["slice_index"] >= 0][:top]
    if not shown:
        return []
    of_row = {(row.get("series_uid"), row["slice_index"]): row for row in prediction.attention["rows"]}
    pictures = slice_pictures(context, prediction, shown)
    most = shown[0]["weight"] or 1.0
    found = []
    for item, picture in zip(shown, pictures, strict=True):
        row = of_row.get((item.get("series_uid"), item["slice_index"]), {})
        found.append(
            AttendedSlice(
                rank=item["rank"],
                slice_index=item["slice_index"],
                weight=item["weight"],
                share=item["weight"] / most,
                z_mm=row.get("z_mm"),
                instance_number=row.get("instance_number"),
                sop_instance_uid=item["sop_instance_uid"],
                series_uid=item.get("series_uid") or prediction.series_uid,
                picture=picture_address(picture),
            )
        )
    return found


def slice_pictures(context: Context, prediction: PredictionRecord, slices: Sequence[JSON]) -> list[bytes | None]:
    """JPEG of each slice, in order; None where there is none."""
    found: list[bytes | None] = [None] * len(slices)
    bags = {item["series_uid"]: item["bag_id"] for item in prediction.about.get("series") or ()}
    by_bag: dict[str, list[int]] = {}
    for place, item in enumerate(slices):
        by_bag.setdefault(bags.get(item.get("series_uid"), prediction.bag_id), []).append(place)
    for bag_id, places in by_bag.items():
        bag = context.catalogue.bags.get(context.project, bag_id)
        if bag is None:
            continue
        try:
            with context.blobs.open_local(bag.blob_key) as path:
                pictures = read_thumbnails(path, [slices[place]["slice_index"] for place in places])
        except (BlobMissing, BadBag):
            continue
        for place, picture in zip(places, pictures, strict=True):
            found[place] = picture
    return found


def output_text(output: Mapping[str, Any]) -> str:
    """An output in a few words: label with its probability, or with its value."""
    if output.get("probability") is not None:
        return f"{output['label']} {output['probability']:.0%}"
    return f"{output['label']} {number(output.get('value'))}"


def headline(outputs: Sequence[Mapping[str, Any]], most: int = 4) -> str:
    """The outputs in a line, the most probable first."""
    ranked = sorted(outputs, key=lambda output: -(output.get("probability") or 0.0))
    words = [output_text(output) for output in ranked[:most]]
    if len(ranked) > most:
        words.append(f"and {len(ranked) - most} more")
    return " · ".join(words)
