"""Recipes: what an encoder is asked to read."""

from __future__ import annotations

import pytest

from slicebank_imaging.errors import BadOption
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
