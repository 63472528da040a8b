"""What is asked of the package transformers, which is an extra."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from slicebank_models.errors import BadCard, UnknownArchitecture

# Read as another type: ViT-MAE's encoder is a ViT, and its own class masks patches at random.
_READ_AS = {"vit_mae": "vit"}
# Models with a text tower too, whose image side has a type of its own.
VISION_TOWERS = {
    "chinese_clip": "chinese_clip_vision_model",
    "clip": "clip_vision_model",
    "siglip": "siglip_vision_model",
}
# Beside the types that transformers itself lists as backbones or classifiers of images.
_MORE_IMAGE_TYPES = frozenset({*VISION_TOWERS.values(), "vit_msn", "ijepa", "hiera"})


def transformers_library() -> Any:
    """Returns the package.

    Raises:
        UnknownArchitecture: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that it looks for
            import transformers
    except ImportError as error:
        raise UnknownArchitecture(
            "Encoders of Hugging Face need the package transformers: pip install 'slicebank[hf]'."
        ) from error
    return transformers


def image_type(model_type: str) -> str:
    """Returns the type of the image encoder inside a model of this type."""
    return _READ_AS.get(model_type, VISION_TOWERS.get(model_type, model_type))


def read_config(values: Mapping[str, Any]) -> Any:
    """Returns transformers' configuration of an image encoder.

    Raises:
        BadCard: The values are no configuration of a model that transformers itself has.
    """
    library = transformers_library()
    read = dict(values)
    model_type = str(read.pop("model_type", ""))
    if "auto_map" in read:
        raise BadCard("The model needs code of its repository (auto_map in config.json), which slicebank never runs.")
    if not model_type:
        more = " It is a model of timm: name it timm:NAME." if "architecture" in read else ""
        raise BadCard(f"The configuration names no model_type, so it is none of transformers.{more}")
    if model_type not in library.CONFIG_MAPPING:
        raise BadCard(f"transformers {library.__version__} has no model of type {model_type[:128]!r}.")
    try:
        return library.AutoConfig.for_model(image_type(model_type), **_without_versions(read))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadCard(f"transformers cannot read the configuration of this {model_type}: {error}") from error


def _without_versions(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v for k, v in values.items() if k not in ("transformers_version", "torch_dtype", "dtype", "_name_or_path")
    }


def image_model_class(config: Any) -> Any:
    """Returns the class without a task's head that encodes single images.

    Raises:
        BadCard: The configuration is of no such model.
    """
    library = transformers_library()
    from transformers.models.auto import modeling_auto

    image_types = (
        _MORE_IMAGE_TYPES
        | set(modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
        | set(modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES)
    ) - {"timm_backbone", "timm_wrapper"}
    if config.model_type not in image_types:
        raise BadCard(f"A {config.model_type} is no encoder of single images, so it cannot encode slices.")
    if getattr(config, "num_channels", 3) != 3:
        raise BadCard(f"The model takes images of {config.num_channels} channels; grey rows become three.")
    try:
        model_class = library.AutoModel._model_mapping[type(config)]
    except KeyError as error:
        raise BadCard(f"transformers has no image encoder without head for a {config.model_type}.") from error
    model_class = model_class[0] if isinstance(model_class, tuple) else model_class
    if model_class.main_input_name != "pixel_values":
        raise BadCard(f"A {config.model_type} reads {model_class.main_input_name}, not images.")
    return model_class


def make_model(model_class: Any, config: Any, tensors: dict[str, Tensor], options: Mapping[str, Any]) -> Any:
    """Returns a float32 model of tensors under the names of published files.

    Raises:
        KeyError: A tensor is missing, unknown, or of another shape.
    """
    logs = transformers_library().utils.logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=tensors, output_loading_info=True, dtype=torch.float32, **options
        )
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    if wrong := {kind: sorted(map(str, report[kind])) for kind in kinds if report[kind]}:
        raise KeyError(f"transformers does not take these tensors: {wrong}.")
    return model


def revert_names(model: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns a model's tensors by the names that published files have."""
    from transformers.core_model_loading import revert_weight_conversion

    reverted: dict[str, Tensor] = revert_weight_conversion(model, tensors)
    return reverted
