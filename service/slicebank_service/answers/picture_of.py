"""From a stored prediction to what its attention picture shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from slicebank_models.cards import WeightsState
from slicebank_models.errors import UnknownEncoder
from slicebank_service.answers.attention_picture import AttentionPicture, PictureSlice, draw_attention
from slicebank_service.context import Context
from slicebank_store.bags import read_thumbnails
from slicebank_store.catalogue import BagRecord, PredictionRecord
from slicebank_store.errors import BlobMissing


def picture_of(context: Context, prediction: PredictionRecord, top: int) -> bytes:
    """Draws the attention of a prediction as a PNG.

    Args:
        context: the application's collaborators.
        prediction: its row.
        top: slices shown below the curve, most attended first.
    """
    bag = context.catalogue.bags.get(context.project, prediction.bag_id)
    head = context.catalogue.heads.get(context.project, prediction.head_id)
    rows: list[dict[str, Any]] = prediction.attention["rows"]
    windows = list(dict.fromkeys(row["window"] for row in rows))
    ranked = sorted(prediction.attention["slices"], key=lambda item: item["rank"])
    shown = [item for item in ranked[:top] if item["slice_index"] >= 0]
    z_mm = {row["slice_index"]: row["z_mm"] for row in rows}
    thumbnails = _thumbnails(context, bag, [item["slice_index"] for item in shown])
    picture = AttentionPicture(
        head=f"{head.name} v{head.version}" if head is not None else prediction.head_id,
        series=prediction.series_uid,
        encoder=_encoder(context, bag),
        outputs=[(output["label"], output["probability"]) for output in prediction.outputs],
        windows=[str(window) for window in windows],
        slice_index=np.array([row["slice_index"] for row in rows], np.int32),
        window_index=np.array([windows.index(row["window"]) for row in rows], np.int8),
        weights=np.array([row["weight"] for row in rows], np.float64),
        top=[
            PictureSlice(
                slice_index=item["slice_index"],
                z_mm=math.nan if z_mm[item["slice_index"]] is None else z_mm[item["slice_index"]],
                weight=item["weight"],
                thumbnail=thumbnail,
            )
            for item, thumbnail in zip(shown, thumbnails, strict=True)
        ],
    )
    return draw_attention(picture)


def _thumbnails(context: Context, bag: BagRecord | None, slices: list[int]) -> list[bytes | None]:
    if bag is None:
        return [None] * len(slices)
    try:
        with context.blobs.open_local(bag.blob_key) as path:
            return read_thumbnails(path, slices)
    except BlobMissing:
        return [None] * len(slices)


def _encoder(context: Context, bag: BagRecord | None) -> str:
    if bag is None:
        return "unknown"
    try:
        card = context.registry.get(bag.encoder)
    except UnknownEncoder:
        return bag.encoder
    untrained = not card.trained and card.weights is not WeightsState.NONE
    return f"{bag.encoder} (untrained)" if untrained else bag.encoder
