"""From an encoder's card to the recipe of its bags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slicebank_imaging.errors import BadOption
from slicebank_models.cards import EncoderCard, InputKind, WeightsState
from slicebank_models.errors import WeightsMissing
from slicebank_models.missing_weights import how_to_get
from slicebank_models.volume_spec import VolumeSpec
from slicebank_service.errors import BadRequest
from slicebank_store.recipe import NO_QUANTISATION, QUANTISATION, Recipe, RecipeWindow

STANDARD = "standard"


def recipe_of(
    card: EncoderCard, *, windows: Sequence[str | Mapping[str, Any]] | None = None, precision: str = STANDARD
) -> Recipe:
    """The recipe by which an encoder embeds.

    Args:
        card: the encoder.
        windows: names, or objects of name, low and high (HU); None for the encoder's own. Encoders of scans have none.
        precision: precision class asked for.

    Raises:
        BadOption: an unknown or unusable window, or any for an encoder that does not choose.
        BadRequest: a precision that the encoder does not offer.
        WeightsMissing: the encoder's weights are not installed here.
    """
    from slicebank_imaging.resize import Interpolation
    from slicebank_imaging.windows import parse_windows

    if card.weights is WeightsState.MISSING:
        raise WeightsMissing(
            f"The weights of encoder {card.id} are not here. {how_to_get(card)} Or choose another encoder."
        )
    if precision not in card.precisions:
        raise BadRequest(f"encoder {card.id} offers the precisions {', '.join(card.precisions)}")
    if card.volume is not None:
        if windows is not None:
            raise BadOption(
                f"encoder {card.id} reads whole scans in Hounsfield units and has no windows; leave windows out"
            )
        return _recipe_of_scans(card, card.volume, precision)
    own = parse_windows(card.windows)
    chosen = own if windows is None else parse_windows(windows)
    if card.input_kind is InputKind.HU and chosen != own:
        raise BadOption(f"encoder {card.id} reads Hounsfield units in its own window; leave windows out")
    return Recipe(
        encoder=card.id,
        weights_digest=card.weights_digest,
        windows=tuple(RecipeWindow(window.name, window.low, window.high) for window in chosen),
        size=card.input_size,
        resize=Interpolation(card.interpolation.value).resize_name,
        quantisation=QUANTISATION if card.input_kind is InputKind.GRAY8 else NO_QUANTISATION,
        precision=precision,
        input_kind=card.input_kind.value,
    )


def _recipe_of_scans(card: EncoderCard, volume: VolumeSpec, precision: str) -> Recipe:
    return Recipe(
        encoder=card.id,
        weights_digest=card.weights_digest,
        windows=(),
        size=max(volume.size),
        resize=f"volume-{volume.resampling.value}",
        quantisation=NO_QUANTISATION,
        precision=precision,
        input_kind=card.input_kind.value,
        # Read back once, so that 1 and 1.0 in two cards are one recipe.
        volume=VolumeSpec.from_dict(volume.as_dict()).as_dict(),
    )


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What differs between the recipe of a bag and the one that is read, by name: "windows lung, not abdomen and lung; ..."."""
    named = [
        f"{_NAMES.get(name, name)} {_shown(one.get(name))}, not {_shown(other.get(name))}"
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]
    return "; ".join(named) or "nothing"


_NAMES: Mapping[str, str] = {
    "weights_digest": "weights",
    "input_kind": "input",
    "pipeline_version": "pipeline version",
    "volume": "volume",
}
_DIGEST_SHOWN = 12


def _shown(value: Any) -> str:
    if isinstance(value, list):
        windows = [f"{item['name']} ({item['low']:g} to {item['high']:g} HU)" for item in value]
        return " and ".join(windows) or "none"
    if isinstance(value, Mapping):
        return "otherwise" if value else "none"
    text = "none" if value is None or value == "" else str(value)
    return text[:_DIGEST_SHOWN] if len(text) == 64 else text
