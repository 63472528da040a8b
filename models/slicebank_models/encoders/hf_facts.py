"""From a repository's config.json and preprocessor_config.json to a card."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, EncoderCard, Interpolation, draft_card
from slicebank_models.errors import BadCard

PREFIX = "hf:"

_LICENCE = "see the page of the repository"
_PILLOW_BILINEAR = 2  # PIL.Image.Resampling.BILINEAR, as preprocessor_config.json numbers it
_CHANNELS = 3


def draft_hf_card(
    repo: str, config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None, *, encoder_id: str | None = None
) -> EncoderCard:
    """Returns the card of a model of transformers; `loading.install_encoder` fills in what the weights say.

    Slices are resized whole to the size that the model's processor crops to: a crop would cut the body off. Without processor, the
    configuration's `image_size` and ImageNet's mean and deviation are taken.

    Args:
        repo: `owner/name`.
        config: Its config.json; kept in the card, so that loading fetches nothing.
        preprocessor: Its preprocessor_config.json, if it has one.
        encoder_id: Id of the card; `hf.OWNER.REPO` by default.

    Raises:
        BadCard: It needs code of its own, is no image encoder that transformers has, or its processor does something else.
        UnknownArchitecture: The package transformers is not installed.
    """
    from slicebank_models.encoders.hf_library import (
        VISION_TOWERS,
        image_model_class,
        image_type,
        read_config,
        transformers_library,
    )

    kept = dict(config)
    model_type = str(kept.get("model_type", ""))
    if model_type in VISION_TOWERS and "auto_map" not in kept:
        kept = {**dict(kept.get("vision_config") or {}), "model_type": image_type(model_type)}
    read = read_config(kept)
    image_model_class(read)
    kept["model_type"] = read.model_type
    processor = dict(preprocessor or {})
    size = _processor_side(processor) or _side(getattr(read, "image_size", None)) or 224
    mean, std = _normalisation(processor)
    known = "" if preprocessor else " The repository names no image processor: mean and deviation are ImageNet's."
    draft = draft_card(
        encoder_id or f"hf.{re.sub('[^A-Za-z0-9._-]', '-', repo.replace('/', '.'))}"[:128],
        f"{PREFIX}{read.model_type}",
        licence=_LICENCE,
        description=f"{repo} of Hugging Face ({read.model_type}): the pooled feature.",
        input_size=size,
        mean=mean,
        std=std,
    )
    resample = processor.get("resample", _PILLOW_BILINEAR)
    how = Interpolation.BILINEAR if resample == _PILLOW_BILINEAR else Interpolation.BICUBIC
    return replace(
        draft,
        interpolation=how,
        config=kept,
        code=f"https://github.com/huggingface/transformers@v{transformers_library().__version__}",
        notes=f"Slices are resized whole to {size} pixels, never cropped.{known}",
    )


def _processor_side(processor: Mapping[str, Any]) -> int | None:
    cropped = processor.get("do_center_crop", False) and processor.get("crop_size")
    return _side(cropped) or _side(processor.get("size"))


def _side(size: Any) -> int | None:
    """Reads 224, [224, 224], {"height": 224, "width": 224} and {"shortest_edge": 224}."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or [size.get("height"), size.get("width")]
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) > 1:
        raise BadCard(f"The model takes images of {size}; rows are square.")
    side = sides.pop() if sides else None
    return side if isinstance(side, int) and not isinstance(side, bool) and side > 0 else None


def _normalisation(processor: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    factor = processor.get("rescale_factor", 1 / 255)
    if processor.get("do_rescale", True) is not True or abs(float(factor) * 255 - 1) > 1e-3:
        raise BadCard("The model's image processor does not scale grey levels to 0..1; such models are not read.")
    if processor.get("do_normalize", True) is not True:
        return (0.0,) * _CHANNELS, (1.0,) * _CHANNELS
    mean = tuple(float(value) for value in processor.get("image_mean") or IMAGENET_MEAN)
    std = tuple(float(value) for value in processor.get("image_std") or IMAGENET_STD)
    return mean, std
