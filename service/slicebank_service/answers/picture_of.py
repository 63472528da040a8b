"""From a stored prediction to what its attention picture shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from slicebank_models.cards import WeightsState
from slicebank_models.errors import UnknownEncoder
from slicebank_service.answers.attention_picture import AttentionPicture, PictureSlice, draw_attention
from slicebank_service.context import Context
from slicebank_service.reports.attended import output_text, slice_pictures
from slicebank_store.catalogue import BagRecord, PredictionRecord


def picture_of(context: Context, prediction: PredictionRecord, top: int) -> bytes:
    """Draws the attention of a prediction as a PNG.

    Args:
        context: the application's collaborators.
        prediction: its row.
        top: slices shown below the curve, most attended first.
    """
    bag = context.catalogue.bags.get(context.project, prediction.bag_id)
    head = context.catalogue.heads.get(context.project, prediction.head_id)
    # Of several series that of the most slices: slices of different series share no axis.
    rows = [row for row in prediction.attention["rows"] if _mine(prediction, row)]
    windows = list(dict.fromkeys(row["window"] for row in rows))
    ranked = sorted((item for item in prediction.attention["slices"] if _mine(prediction, item)), key=_rank)
    shown = [item for item in ranked[:top] if item["slice_index"] >= 0]
    z_mm = {row["slice_index"]: row["z_mm"] for row in rows}
    thumbnails = slice_pictures(context, prediction, shown)
    outputs = sorted(prediction.outputs, key=lambda output: -(output.get("probability") or 0.0))
    picture = AttentionPicture(
        head=f"{head.name} v{head.version}" if head is not None else prediction.head_id,
        series=prediction.series_uid,
        encoder=_encoder(context, bag),
        outputs=[output_text(output) for output in outputs],
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


def _mine(prediction: PredictionRecord, item: Mapping[str, Any]) -> bool:
    return item.get("series_uid") in (None, prediction.series_uid)


def _rank(item: Mapping[str, Any]) -> int:
    return int(item["rank"])


def _encoder(context: Context, bag: BagRecord | None) -> str:
    if bag is None:
        return "unknown"
    try:
        card = context.registry.get(bag.encoder)
    except UnknownEncoder:
        return bag.encoder
    untrained = not card.trained and card.weights is not WeightsState.NONE
    return f"{bag.encoder} (untrained)" if untrained else bag.encoder
