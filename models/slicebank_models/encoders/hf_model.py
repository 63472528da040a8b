"""Any image encoder of transformers, as `hf:MODEL_TYPE` with the model's `config.json` in the card (Wolf et al., arXiv:1910.03771).

The class is the one that transformers has for the configuration; code of a repository is never run. The feature, by this rule:

1. The model's own `pooler_output` (DINOv2, DINOv3, Swin, ConvNeXt, ResNet, BEiT; CLIP and SigLIP: before any projection to the space
   that is shared with text), flattened.
2. Not where the pooler is a tanh layer over the class token (ViT, DeiT), which most files lack: then, and where there is no pooler,
   the class token of `last_hidden_state`, which these models have normed.
3. Without class token (I-JEPA) the mean over tokens, and of maps (PoolFormer, SegFormer) the mean over space.

Files of ViT-MAE are read as the plain ViT that they are fine-tuned as: ViTMAEModel itself would mask three quarters of the patches.

Tensor names are those of published files, which transformers translates into names that differ from version to version. Positions:
where `input_size` is not the `image_size` of the configuration, the model resamples them in every forward pass, in its own way; the
digest is that of the published tensors.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slicebank_models.cards import EncoderCard, InputKind
from slicebank_models.encoders.encoder import TRAINING_COUNTER
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.hf_facts import PREFIX, draft_hf_card
from slicebank_models.encoders.hf_library import image_model_class, make_model, read_config, revert_names
from slicebank_models.encoders.lowered_linears import called_modules, linear_layers, lower_layer
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder
from slicebank_models.errors import BadCard

__all__ = ["FAMILY", "HfEncoder", "draft_hf_card"]

_INDEX_BUFFERS = ("position_ids", "relative_position_index")
_OTHER_TOWERS = ("text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias")
_CLASS_TOKENS = ("cls_token", "class_embedding")


class HfEncoder(SliceEncoder):
    """A model of transformers up to its pooled feature. Until `set_weights`, its tensors are on the meta device."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    trunk: Any  # a PreTrainedModel

    def __init__(
        self, config: Mapping[str, Any], *, input_size: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        read = read_config(config)
        self_class = image_model_class(read)
        options: dict[str, Any] = {}
        with torch.device("meta"):
            trunk = self_class(read)
            if hasattr(getattr(trunk, "pooler", None), "dense"):
                options["add_pooling_layer"] = False
                trunk = self_class(read, **options)
        trunk = trunk.eval()
        takes = inspect.signature(trunk.forward).parameters
        resample = "interpolate_pos_encoding" in takes and _side(getattr(read, "image_size", None)) != input_size
        self._calling = {"interpolate_pos_encoding": True} if resample else {}
        images = torch.zeros(1, 3, input_size, input_size, device="meta")
        try:
            with torch.inference_mode():
                dim = _feature(trunk, images, self._calling).shape[1]
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BadCard(
                f"{self_class.__name__} of transformers gives no feature of a {input_size} x {input_size} image: {error}"
            ) from error
        super().__init__(dim=dim, input_size=input_size)
        self.channels = GreyToChannels(mean, std)
        self.trunk = trunk
        self._options = options
        self._called: frozenset[str] | None = None

    def weights(self) -> dict[str, Tensor]:
        """Returns the tensors that decide the features, by their names in published files."""
        return {name: t for name, t in revert_names(self.trunk, super().weights()).items() if t.is_floating_point()}

    def set_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Makes the model anew of `tensors`, which must be exactly those of `weights`.

        Raises:
            KeyError: A tensor is missing, unknown, or of another shape.
        """
        if different := set(self.weights()) ^ set(tensors):
            raise KeyError(f"These tensors are on one side only: {', '.join(sorted(different))}.")
        given = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        for name in revert_names(self.trunk, self.trunk.state_dict()):
            if name.endswith(TRAINING_COUNTER):
                given[name] = torch.tensor(0)
        trunk = make_model(type(self.trunk), self.trunk.config, given, self._options)
        self.trunk = trunk.eval().requires_grad_(False)
        self._called = None

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the large linear layers that a forward pass calls; networks of convolutions have none."""
        if self._called is None:
            images = torch.zeros(1, 3, *self.row_shape, device=next(self.trunk.parameters()).device)
            with torch.inference_mode():
                self._called = called_modules(self.trunk, lambda: _feature(self.trunk, images, self._calling))
        yield from linear_layers(self.trunk, self._called)

    def lower(self, dtype: torch.dtype) -> None:
        """Converts the large linear layers for good; their inputs and outputs are cast."""
        for layer in list(self.block_matrices()):
            lower_layer(layer, dtype)

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, dim) float32."""
        return _feature(self.trunk, self.channels(rows), self._calling)


def _feature(trunk: Any, images: Tensor, calling: Mapping[str, Any]) -> Tensor:
    """Applies the rule at the head of this file to (B, 3, S, S) images."""
    outputs = trunk(pixel_values=images, **calling)
    pooled: Tensor | None = getattr(outputs, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)
    hidden: Tensor = outputs.last_hidden_state
    if hidden.ndim == 4:
        return hidden.mean(dim=(2, 3))  # (B, C, H, W)
    if hidden.ndim != 3:
        raise ValueError(f"the last hidden state has the shape {tuple(hidden.shape)}")
    has_class_token = any(name.endswith(_CLASS_TOKENS) for name, _ in trunk.named_parameters())
    return hidden[:, 0] if has_class_token else hidden.mean(dim=1)  # (B, T, C)


def _side(size: Any) -> int | None:
    if isinstance(size, list | tuple) and size:
        return int(size[0])
    return int(size) if isinstance(size, int) else None


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    model_type = architecture.removeprefix(PREFIX)
    tower = "vision_model." if any(key.startswith("vision_model.") for key in keys) else ""
    prefix = tower or _task_prefix(model_type, keys)

    def rule(key: str) -> str | DroppedKey:
        if key.endswith(_INDEX_BUFFERS):
            return DroppedKey(key, "index table that the architecture computes itself")
        if key.startswith(_OTHER_TOWERS):
            return DroppedKey(key, "text tower or projection to the space shared with text")
        if prefix and not key.startswith(prefix):
            return DroppedKey(key, "head for the task that the file was trained for")
        key = key.removeprefix(prefix)
        if key.startswith("pooler.dense."):
            return DroppedKey(key, "tanh layer over the class token; the feature is the class token itself")
        return key

    return rule


def _task_prefix(model_type: str, keys: frozenset[str]) -> str:
    """What files of a model with a task's head put before the names of the encoder, such as `vit.`."""
    for base in (model_type, model_type.split("_")[0], model_type.replace("-", "_")):
        if any(key.startswith(f"{base}.") for key in keys):
            return f"{base}."
    return ""


def _build(card: EncoderCard) -> HfEncoder:
    if not card.config:
        raise BadCard(
            f"Encoder {card.id}: {card.architecture} is built by the model's config.json, which the card lacks."
        )
    return HfEncoder(card.config, input_size=card.input_size, mean=card.mean, std=card.std)


FAMILY = EncoderFamily((PREFIX,), _build, _key_rules)
