"""A picture of one bag: slices evenly spaced, and how alike the embeddings of all slices are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from slicebank.errors import InputError, MissingExtra
from slicebank.records import BagArrays

COLUMNS = 6
ROWS = 4
TILE = 160
GAP = 6
HEADER = 28
INK = (30, 30, 30)
PAPER = (255, 255, 255)
LABEL = (255, 220, 80)
FONT_SIZE = 14


def draw_bag(bag: BagArrays, target: Path, *, title: str) -> None:
    """Write a PNG: left a contact sheet from the bag's thumbnails, right the similarity of every two slices.

    The similarity is the cosine of the slices' features after the series' mean feature is taken off, without which all
    slices of a CT look alike to any encoder; slice 0, the lowest, is at the top left.

    Raises:
        MissingExtra: pillow is not installed.
        InputError: the bag holds no rows, or the target cannot be written.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtra("Drawing a bag", extra="service", missing="pillow") from error
    similarity = slice_similarity(bag)
    height = ROWS * (TILE + GAP)
    sheet = Image.new("RGB", (COLUMNS * (TILE + GAP) + height + 4 * GAP, HEADER + height + HEADER), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    pen.text((GAP, GAP), title, fill=INK, font=font)
    for place, index in enumerate(evenly_spaced(len(bag.thumbnails), COLUMNS * ROWS)):
        row, column = divmod(place, COLUMNS)
        with Image.open(io.BytesIO(bag.thumbnails[index])) as thumbnail:
            tile = thumbnail.convert("RGB").resize((TILE, TILE))
        corner = (GAP + column * (TILE + GAP), HEADER + row * (TILE + GAP))
        sheet.paste(tile, corner)
        z = f"  z {float(bag.z_mm[index]):.0f} mm" if len(bag.z_mm) > index else ""
        number = int(bag.slice_number[index]) if len(bag.slice_number) > index else index
        pen.text((corner[0] + 4, corner[1] + 2), f"slice {number}{z}", fill=LABEL, font=font)
    left = COLUMNS * (TILE + GAP) + 3 * GAP
    gray = ((similarity + 1.0) * 127.5).clip(0, 255).astype("uint8")
    sheet.paste(Image.fromarray(gray).resize((height - GAP, height - GAP), 0).convert("RGB"), (left, HEADER))
    legend = "similarity of the embeddings, slice by slice: white alike, black opposite"
    pen.text((left, HEADER + height), legend, fill=INK, font=font)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}.") from error


def slice_similarity(bag: BagArrays) -> Any:
    """Cosine of every two slices, float (S, S); the windows of a slice count as one long feature.

    Raises:
        InputError: the bag holds no rows.
    """
    rows, dim = bag.features.shape
    if rows == 0:
        raise InputError("The bag holds no rows.")
    windows = max(len(bag.windows), 1)
    features = bag.features.reshape(rows // windows, windows * dim) if rows % windows == 0 else bag.features
    centred = features - features.mean(axis=0, keepdims=True)
    # 1e-12 keeps the one slice of a series of one from dividing by zero.
    lengths = (centred * centred).sum(axis=1, keepdims=True) ** 0.5 + 1e-12
    unit = centred / lengths
    return unit @ unit.T


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """At most `wanted` indices below `count`, the first and the last among them."""
    if count <= wanted:
        return list(range(count))
    return [round(place * (count - 1) / (wanted - 1)) for place in range(wanted)]
