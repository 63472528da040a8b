"""Recipes: what an encoder is asked to read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slicebank_imaging.errors import BadOption
from slicebank_models.cards import Interpolation
from slicebank_models.registry import EncoderRegistry
from slicebank_service.recipes import recipe_of


def test_an_encoder_of_hounsfield_units_takes_no_other_window() -> None:
    card = EncoderRegistry().get("hu_statistics")
    assert recipe_of(card, windows=["full"]) == recipe_of(card)
    with pytest.raises(BadOption, match="own window"):
        recipe_of(card, windows=["lung"])


def test_windows_are_part_of_the_recipe() -> None:
    card = EncoderRegistry().get("dummy")
    assert recipe_of(card, windows=["lung", "abdomen"]).digest != recipe_of(card).digest
    assert [window.name for window in recipe_of(card, windows=["lung"]).windows] == ["lung"]


def test_scans_have_a_volume_and_no_windows() -> None:
    card = EncoderRegistry().get("dummy_scan")
    assert card.volume is not None
    recipe = recipe_of(card)
    assert (recipe.windows, recipe.input_kind, recipe.quantisation, recipe.size) == ((), "volume", "none", 64)
    assert recipe.volume == card.volume.as_dict()
    whole = replace(card, volume=replace(card.volume, spacing_mm=(6, 6, 8), hu=(-1000, 1000), pad=0))
    assert recipe_of(whole).digest == recipe.digest
    finer = replace(card, volume=replace(card.volume, spacing_mm=(5.0, 6.0, 8.0)))
    assert recipe_of(finer).digest != recipe.digest
    for windows in (["lung"], []):
        with pytest.raises(BadOption, match="leave windows out"):
            recipe_of(card, windows=windows)


def test_the_resize_follows_the_card() -> None:
    card = EncoderRegistry().get("dummy")
    assert recipe_of(card).resize == "pil-bilinear-antialias-shorter-side-center-crop"
    bicubic = replace(card, interpolation=Interpolation.BICUBIC)
    assert recipe_of(bicubic).resize == "pil-bicubic-antialias-shorter-side-center-crop"
    assert recipe_of(bicubic).digest != recipe_of(card).digest


def test_recipes_made_before_there_were_volumes_keep_their_digests() -> None:
    known = {
        "dummy": "5cf728f486d9d1bd48db01f8f393b54b3c513f8d2075f7bea6444ad51db5d4dd",
        "hu_statistics": "83cb200cf121f555ef68d613d06fcb0b21e874dba7dfe7bee8e55612b1a565b6",
        "mambaout_femto.untrained": "348cc6155aab54e96544b158ef2dc14a832fee5418cdaf1517f0d61ba7325465",
    }
    assert {name: recipe_of(EncoderRegistry().get(name)).digest for name in known} == known
