"""Encoders of bags that were made elsewhere: `external:NAME`, known by that name and the length of their rows alone."""

from __future__ import annotations

from slicebank_store.canonical import digest
from slicebank_store.recipe import NO_QUANTISATION, Recipe
from slicebank_store.types import BagLevel

PREFIX = "external:"
"""No card can be called so: ids of cards hold no colon."""

_SIZE = 224
_PIPELINE = 0
"""No pipeline of ours made the rows, so that none of its changes parts them."""


def is_external(encoder: str) -> bool:
    """Whether bags of this encoder were made elsewhere."""
    return encoder.startswith(PREFIX)


def folder_name(encoder: str) -> str:
    """An encoder's id as the name of a folder: `external:NAME` becomes `external.NAME`."""
    return encoder.replace(":", ".")


def external_recipe(encoder: str, *, dim: int, level: BagLevel) -> Recipe:
    """The recipe of rows that nobody here can make again: the same for the same name, length and level.

    Args:
        encoder: `external:NAME`.
        dim: D, length of a row.
        level: whether rows are of slices or of a scan.
    """
    return Recipe(
        encoder=encoder,
        weights_digest=digest(["slicebank external 1", encoder, dim, level.value]),
        windows=(),
        size=_SIZE,
        resize="none",
        quantisation=NO_QUANTISATION,
        pipeline_version=_PIPELINE,
        input_kind="external",
    )
