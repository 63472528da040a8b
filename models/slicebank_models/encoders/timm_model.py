"""Any model of timm, as `timm:NAME` or `timm:NAME.TAG` (Wightman, PyTorch Image Models, doi:10.5281/zenodo.4414861).

The feature is what timm pools before its classifier (`forward_head(..., pre_logits=True)`, `num_features` wide). Some models have
a hidden layer between pooling and classifier (MobileNetV3, VGG, MambaOut, EfficientViT ...): there timm's pre-logits, and what
`num_classes=0` returns, have passed it and are `head_hidden_size` wide. The feature is then the mean over space of
`forward_features`, normed if the head begins with a norm over `num_features`, and the tensors of the hidden layer are left out.

Positions: where the card's `input_size` is not the one that the weights were trained at, transformers with learned positions keep
the tensor of the file and resample it in every forward pass, as timm does (`dynamic_img_size`: bicubic, antialiased). The digest
is therefore that of the published tensors, whatever the input size.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import timm
import torch
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.cards import EncoderCard, InputKind, Interpolation, draft_card
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.lowered_linears import called_modules, linear_layers, lower_layer
from slicebank_models.encoders.slice_encoder import GreyToChannels, SliceEncoder
from slicebank_models.errors import BadCard, UnknownArchitecture
from slicebank_models.weights_source import WeightsSource

PREFIX = "timm:"
# Computed by the model from its layout, in older files all the same.
_INDEX_BUFFERS = ("relative_position_index", "attn_mask", "attention_bias_idxs")
_MASK_TOKENS = frozenset({"mask_token"})


class TimmEncoder(SliceEncoder):
    """A network of timm up to the vector that its classifier would take."""

    input_kind: ClassVar[InputKind] = InputKind.GRAY8

    trunk: nn.Module

    def __init__(
        self,
        name: str,
        *,
        input_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        unread = _unread_tensors(name, input_size)
        trunk = _network(name, input_size, options)
        super().__init__(dim=int(trunk.num_features), input_size=input_size)  # type: ignore[arg-type]
        self.channels = GreyToChannels(mean, std)
        self.trunk = trunk.eval()
        self._hidden_head = _has_hidden_head(trunk)
        self._unread = unread
        self._called: frozenset[str] | None = None

    def weights(self) -> dict[str, Tensor]:
        """Returns the tensors that decide the features, without index buffers and hidden layers of a classifier."""
        return {name: t for name, t in super().weights().items() if t.is_floating_point() and name not in self._unread}

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the large linear layers that a forward pass calls; networks of convolutions have none."""
        if self._called is None:
            rows = torch.zeros(1, *self.row_shape, dtype=torch.uint8, device=next(self.trunk.parameters()).device)
            with torch.inference_mode():
                self._called = called_modules(self.trunk, lambda: self(rows))
        yield from linear_layers(self.trunk, self._called)

    def lower(self, dtype: torch.dtype) -> None:
        """Converts the large linear layers for good; their inputs and outputs are cast."""
        for layer in list(self.block_matrices()):
            lower_layer(layer, dtype)

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, dim) float32."""
        return _feature(self.trunk, self.channels(rows), hidden_head=self._hidden_head)


def _feature(trunk: Any, images: Tensor, *, hidden_head: bool) -> Tensor:
    features: Tensor = trunk.forward_features(images)
    if not hidden_head:
        pooled: Tensor = trunk.forward_head(features, pre_logits=True)
        return pooled
    channels_first = features.shape[1] == trunk.num_features
    pooled = features.mean(dim=(2, 3) if channels_first else (1, 2))  # (B, num_features)
    norm = _head_norm(trunk)
    return pooled if norm is None else F.layer_norm(pooled, (len(norm.weight),), norm.weight, norm.bias, norm.eps)


def _head_norm(trunk: Any) -> nn.LayerNorm | None:
    """The norm over pooled features that a head begins with; not one that lies behind a hidden layer."""
    norm = getattr(getattr(trunk, "head", None), "norm", None)
    own = isinstance(norm, nn.LayerNorm) and tuple(norm.normalized_shape) == (trunk.num_features,)
    return norm if own else None


def _has_hidden_head(trunk: nn.Module) -> bool:
    return getattr(trunk, "head_hidden_size", None) not in (None, trunk.num_features)


def _network(name: str, input_size: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Builds a network without classifier; nothing is fetched.

    Raises:
        UnknownArchitecture: The installed timm has no such model, or it has no pooled feature.
    """
    cfg = _pretrained_cfg(name)
    given = dict(options or {})
    if cfg.fixed_input_size and cfg.input_size[-1] != input_size:
        attempts: list[dict[str, Any]] = [{**given, "dynamic_img_size": True}, {**given, "img_size": input_size}]
    else:
        attempts = [given]
    for attempt in attempts:
        try:
            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **attempt)
        except TypeError as error:
            refused: Exception = error
            continue
        except (RuntimeError, ValueError, NotImplementedError, AssertionError) as error:
            refused = error
            break
        if not callable(getattr(network, "forward_head", None)) or not hasattr(network, "num_features"):
            raise UnknownArchitecture(f"{name} of timm has no pooled feature, so it cannot encode slices.")
        return network
    raise UnknownArchitecture(f"timm {timm.__version__} cannot build {name} for slices: {refused}") from refused


def _pretrained_cfg(name: str) -> PretrainedCfg:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UnknownArchitecture(
            f"timm {timm.__version__} has no model {architecture[:128]!r}; see timm.list_models()."
        )
    try:
        cfg = get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UnknownArchitecture(f"timm {timm.__version__} knows no weights {tag!r} of {architecture}.") from error
    return cfg or PretrainedCfg()


@lru_cache(maxsize=8)
def _unread_tensors(name: str, input_size: int) -> frozenset[str]:
    """Names of tensors that the feature does not pass: a hidden layer between pooling and classifier.

    Raises:
        UnknownArchitecture: The model gives no pooled feature of an image of this size.
    """
    with torch.device("meta"):
        trunk: Any = _network(name, input_size).eval()
        images = torch.zeros(1, 3, input_size, input_size)
    hidden_head = _has_hidden_head(trunk)
    shapes: list[tuple[int, ...]] = []
    try:
        with torch.inference_mode():
            called = called_modules(
                trunk, lambda: shapes.append(tuple(_feature(trunk, images, hidden_head=hidden_head).shape))
            )
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise UnknownArchitecture(
            f"{name} of timm gives no pooled feature of a {input_size} x {input_size} image: {error}"
        ) from error
    if shapes != [(1, trunk.num_features)]:
        raise UnknownArchitecture(f"{name} of timm pools to {shapes}, not to one vector of {trunk.num_features}.")
    if not hidden_head:
        return frozenset()
    read = called | {"", "head.norm"} if _head_norm(trunk) else called | {""}
    return frozenset(key for key in trunk.state_dict() if key.rpartition(".")[0] not in read)


def classifier_names(architecture: str) -> tuple[str, ...]:
    """Returns the names of the layers that classify; some models have two, some none."""
    heads = _pretrained_cfg(architecture.removeprefix(PREFIX)).classifier or ()
    return (heads,) if isinstance(heads, str) else tuple(heads)


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del keys  # files of timm name their tensors as the module does
    name = architecture.removeprefix(PREFIX)
    cfg = _pretrained_cfg(name)
    classifiers = tuple(f"{head}." for head in classifier_names(architecture))
    hidden = _unread_tensors(name, cfg.input_size[-1])

    def rule(key: str) -> str | DroppedKey:
        if classifiers and key.startswith(classifiers):
            return DroppedKey(key, "classifier head")
        if key in hidden:
            return DroppedKey(key, "hidden layer of the classifier, which the feature does not pass")
        if key.rpartition(".")[2] in _INDEX_BUFFERS:
            return DroppedKey(key, "index table that the architecture computes itself")
        if key in _MASK_TOKENS:
            return DroppedKey(key, "mask token of the pre-training")
        return key

    return rule


def draft_timm_card(name: str, *, encoder_id: str | None = None) -> EncoderCard:
    """Returns the card of published weights of timm, from what timm itself records of them; nothing is fetched.

    `dim`, `parameters` and digest come from `loading.install_encoder`. No source where timm publishes no weights.

    Args:
        name: `architecture` or `architecture.tag` as in `timm.list_pretrained()`.
        encoder_id: Id of the card; `timm.NAME` by default.

    Raises:
        UnknownArchitecture: The installed timm knows no such model or tag.
        BadCard: The model takes no square images of three channels.
    """
    name = name.removeprefix(PREFIX)
    cfg = _pretrained_cfg(name)
    channels, height, width = cfg.input_size
    if channels != 3 or height != width:
        raise BadCard(
            f"{name} of timm takes {channels} x {height} x {width} images; rows are square, of three channels."
        )
    tagged = f"{cfg.architecture}.{cfg.tag}" if cfg.architecture and cfg.tag else name
    draft = draft_card(
        encoder_id or f"timm.{re.sub('[^A-Za-z0-9._-]', '-', tagged)}",
        f"{PREFIX}{tagged}",
        licence=cfg.license or "not recorded by timm; see the page of the model",
        paper=", ".join((cfg.paper_ids,) if isinstance(cfg.paper_ids, str) else cfg.paper_ids or ()),
        description=f"{tagged} of timm: the pooled feature before its classifier.",
        input_size=height,
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
    )
    source = None
    if cfg.hf_hub_id:
        page = f"https://huggingface.co/{cfg.hf_hub_id}"
        source = WeightsSource(cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors", licence_url=page)
    # Interpolations that Pillow's two do not cover (lanczos, random) are nearest to bicubic.
    how = Interpolation.BILINEAR if cfg.interpolation == "bilinear" else Interpolation.BICUBIC
    return replace(
        draft,
        interpolation=how,
        source=source,
        code=f"https://github.com/huggingface/pytorch-image-models@v{timm.__version__}",
        notes=" ".join(cfg.notes or ()) if not isinstance(cfg.notes, str) else cfg.notes,
    )


def _build(card: EncoderCard) -> TimmEncoder:
    return TimmEncoder(
        card.architecture.removeprefix(PREFIX),
        input_size=card.input_size,
        mean=card.mean,
        std=card.std,
        options=card.config,
    )


FAMILY = EncoderFamily((PREFIX,), _build, _key_rules)
