from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from slicebank_service.answers.attention_picture import AttentionPicture, PictureSlice, draw_attention


def picture(n_slices: int, windows: tuple[str, ...], top: int, *, skipped: int | None = None) -> AttentionPicture:
    slices = np.array([i for i in range(n_slices) if i != skipped], np.int32)
    slice_index = np.repeat(slices, len(windows)).astype(np.int32)
    weights = np.full(len(slice_index), 1 / len(slice_index))
    return AttentionPicture(
        head="a $\\head_{v}$ v1",
        series="2.25." + "1" * 60,
        encoder="dummy (untrained)",
        outputs=[f"label $x^{i}$ _{i} {i}0%" for i in range(6)],
        windows=windows,
        slice_index=slice_index,
        window_index=np.tile(np.arange(len(windows), dtype=np.int8), len(slices)),
        weights=weights,
        top=[PictureSlice(int(i), math.nan, 0.1, None) for i in slices[:top]],
    )


@pytest.mark.parametrize(
    "shown",
    [
        picture(1, ("lung",), 1),
        picture(2, ("lung", "abdomen"), 2),
        picture(40, ("lung", "abdomen"), 5, skipped=17),
        picture(3, tuple("abcdefgh"), 0),
    ],
)
def test_every_shape_of_a_bag_is_drawn(shown: AttentionPicture) -> None:
    image = Image.open(io.BytesIO(draw_attention(shown)))
    assert image.format == "PNG"
    assert image.width == 1300


def test_a_scan_level_bag_has_no_curve() -> None:
    one = np.array([-1], np.int32)
    shown = AttentionPicture("h", "s", "e", ["a 50%"], ["None"], one, one.astype(np.int8), np.ones(1), [])
    assert Image.open(io.BytesIO(draw_attention(shown))).format == "PNG"
