"""What a head of an encoder reads: the recipe, level and row length of the encoder's bags."""

from __future__ import annotations

from dataclasses import dataclass

from slicebank_service.context import Context
from slicebank_service.errors import NoLabelMatches, RecipeMixed
from slicebank_service.recipes import differences, recipe_of
from slicebank_store.recipe import Recipe
from slicebank_store.types import BagLevel

# What bags made elsewhere are called; no card is.
EXTERNAL = "external:"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a head reads.

    Attributes:
        dim: D, length of the rows.
    """

    encoder: str
    recipe: Recipe
    level: BagLevel
    dim: int

    @property
    def windows(self) -> list[str]:
        """Names of the windows whose rows a bag has, in row order."""
        return [window.name for window in self.recipe.windows]


def what_is_read(context: Context, encoder: str) -> Reading:
    """What a head of an encoder reads: the encoder's own recipe; of bags made elsewhere the one that they have.

    Raises:
        UnknownEncoder: no such encoder.
        NoLabelMatches: no bag of this name was brought.
        RecipeMixed: bags of this name have rows of several kinds.
    """
    if not encoder.startswith(EXTERNAL):
        card = context.registry.get(encoder)
        return Reading(card.id, recipe_of(card), BagLevel(card.level.value), card.dim)
    found = context.catalogue.bags.recipes(context.project, encoder)
    if not found:
        raise NoLabelMatches(
            f"there is no bag of {encoder}; send bags made elsewhere to POST /v1/bags first", unmatched=[]
        )
    if len(found) > 1:
        raise RecipeMixed(
            f"the bags of {encoder} are not of one kind: {differences(found[0].recipe, found[1].recipe)}; "
            "give those that are different another encoder name"
        )
    bag = found[0]
    return Reading(encoder, Recipe.from_dict(bag.recipe), bag.level, bag.dim)
