from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_store.recipe import Recipe, RecipeWindow

from .builders import RECIPE

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
HU = st.floats(-4000, 4000, allow_nan=False).map(float)


@settings(deadline=None)
@given(windows=st.lists(st.builds(RecipeWindow, NAMES, HU, HU), max_size=3), encoder=NAMES)
def test_round_trip_through_json(windows: list[RecipeWindow], encoder: str) -> None:
    recipe = replace(RECIPE, windows=tuple(windows), encoder=encoder)
    again = Recipe.from_dict(json.loads(json.dumps(recipe.as_dict())))
    assert again == recipe
    assert again.digest == recipe.digest


def test_digest_is_of_the_canonical_json() -> None:
    written = json.dumps(RECIPE.as_dict(), sort_keys=True, separators=(",", ":"))
    assert RECIPE.digest == hashlib.sha256(written.encode()).hexdigest()


def test_whole_and_fractional_bounds_are_one_recipe() -> None:
    assert replace(RECIPE, windows=(RecipeWindow("a", -175, 275),)).digest == (
        replace(RECIPE, windows=(RecipeWindow("a", -175.0, 275.0),)).digest
    )


OTHER = {
    "encoder": "another",
    "weights_digest": "1" * 64,
    "windows": tuple(reversed(RECIPE.windows)),
    "size": 256,
    "resize": "nearest",
    "quantisation": "none",
    "pipeline_version": 99,
    "precision": "fp32",
    "input_kind": "hu",
    "volume": {"axes": "RAS", "size": [2, 2, 2]},
}


def test_a_recipe_without_a_volume_has_the_digest_it_always_had() -> None:
    assert "volume" not in RECIPE.as_dict()
    assert RECIPE.digest == replace(RECIPE, volume=None).digest


def test_a_volume_survives_json() -> None:
    recipe = replace(RECIPE, windows=(), volume={"axes": "RAS", "size": [2, 3, 4], "pad": 0.0})
    again = Recipe.from_dict(json.loads(json.dumps(recipe.as_dict())))
    assert again == recipe
    assert again.digest == recipe.digest


@pytest.mark.parametrize("field", [field.name for field in fields(Recipe)])
def test_every_field_enters_the_digest(field: str) -> None:
    assert replace(RECIPE, **{field: OTHER[field]}).digest != RECIPE.digest
