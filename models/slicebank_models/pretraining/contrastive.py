"""The networks of MoCo v3 (Chen, Xie and He, arXiv:2104.02057): encoder, projector and predictor, and momentum copies of the first two."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from slicebank_models.cards import EncoderCard, draft_card
from slicebank_models.encoders.build import family_of
from slicebank_models.encoders.slice_encoder import SliceEncoder
from slicebank_models.encoders.vit_moco import MoCoViTEncoder
from slicebank_models.errors import BadCard, BadPretrainingSetting
from slicebank_models.pretraining.initial_weights import draw_weights, load_weights
from slicebank_models.pretraining.spec import ModelSettings

PROJECTOR_LAYERS = 3
PREDICTOR_LAYERS = 2


class ContrastiveModel(nn.Module):
    """An encoder in training, with what is thrown away afterwards.

    The base networks are trained by gradients, the momentum copies follow them (`update_momentum`). Norms over the batch
    keep statistics of their own in both; in training mode both use those of the batch.

    Attributes:
        encoder: What the training is for.
        projector: Features to (B, d) projections.
        predictor: Projections to (B, d) queries.
        momentum_encoder: Copy of the encoder.
        momentum_projector: Copy of the projector.
    """

    def __init__(self, encoder: SliceEncoder, projector: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.predictor = predictor
        self.momentum_encoder = deepcopy(encoder).requires_grad_(False)
        self.momentum_projector = deepcopy(projector).requires_grad_(False)

    def forward(self, view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of both views; the views go through one after the other, so that norms see one view at a time.

        Args:
            view1: (B, S, S) grey levels from 0 to 255.
            view2: The same slices' other view.

        Returns:
            (B, d) queries of view 1, those of view 2, and (B, dim) features of view 1 without gradient, for monitoring.
        """
        features = self.encoder(view1)
        first: Tensor = self.predictor(self.projector(features))
        second: Tensor = self.predictor(self.projector(self.encoder(view2)))
        return first, second, features.detach()

    @torch.no_grad()
    def keys(self, view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d) keys of view 1 and of view 2, of the momentum networks, without gradient."""
        first: Tensor = self.momentum_projector(self.momentum_encoder(view1))
        second: Tensor = self.momentum_projector(self.momentum_encoder(view2))
        return first, second

    @torch.no_grad()
    def update_momentum(self, kept: float) -> None:
        """Moves the momentum networks towards the base networks, of themselves keeping the share `kept`. Done before a step's keys."""
        for base, momentum in (
            (self.encoder, self.momentum_encoder),
            (self.projector, self.momentum_projector),
        ):
            trained = [
                (follower, leader)
                for follower, leader in zip(momentum.parameters(), base.parameters(), strict=True)
                if leader.requires_grad
            ]
            if trained:
                followers, leaders = zip(*trained, strict=True)
                torch._foreach_lerp_(followers, leaders, 1.0 - kept)


def build_contrastive(settings: ModelSettings, seed: int, *, freeze_patch_embedding: bool = True) -> ContrastiveModel:
    """Builds the networks in training mode on the CPU, with random weights that the seed decides.

    Where the run has several processes, `synchronised_norm.synchronise` the model before it is wrapped.

    Args:
        settings: Which encoder, and how wide the heads; with `initial_weights` the encoder begins with those.
        seed: Of all random weights.
        freeze_patch_embedding: Whether the patch projection of a plain ViT keeps its first weights, which makes its training
            stable (MoCo v3, section 4).

    Raises:
        BadPretrainingSetting: The architecture encodes no slices or cannot be trained, or `initial_weights` do not fit it.
        UnknownArchitecture: There is no such architecture.
    """
    card = pretraining_card(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = _trainable(card)
        draw_weights(encoder)
        projector = _head(encoder.dim, settings.hidden_dim, settings.projection_dim, PROJECTOR_LAYERS)
        predictor = _head(settings.projection_dim, settings.hidden_dim, settings.projection_dim, PREDICTOR_LAYERS)
    if settings.initial_weights:
        load_weights(encoder, card.architecture, Path(settings.initial_weights))
    if freeze_patch_embedding and isinstance(encoder, MoCoViTEncoder):
        projection = encoder.trunk.patch_embed.proj
        if isinstance(projection, nn.Conv2d):
            projection.requires_grad_(False)
    _fix_unread(encoder, settings.architecture)
    return ContrastiveModel(encoder, projector, predictor).train()


def pretraining_card(settings: ModelSettings) -> EncoderCard:
    """The draft of the card of what a run trains; the encoder is built from it."""
    return draft_card("pretraining", settings.architecture, licence="", input_size=settings.input_size)


def _trainable(card: EncoderCard) -> SliceEncoder:
    """The encoder as its family builds it, so that what that has fixed stays fixed."""
    try:
        encoder = family_of(card.architecture).build(card)
    except (BadCard, ValueError) as error:
        raise BadPretrainingSetting(
            f"model.architecture: {card.architecture} cannot be built for slices of side {card.input_size}: {error}"
        ) from error
    if not isinstance(encoder, SliceEncoder) or not any(True for _ in encoder.parameters()):
        raise BadPretrainingSetting(f"model.architecture: {card.architecture} is no network for slices.")
    return encoder


def _head(features: int, hidden: int, out: int, layers: int) -> nn.Sequential:
    """Linear layers without bias, each normed over the batch, with ReLU between; the last norm has no scale of its own.

    As the ViT form of MoCo v3, which the published code of LECL takes for every architecture.
    """
    widths = [features, *[hidden] * (layers - 1), out]
    parts: list[nn.Module] = []
    for at in range(layers):
        last = at + 1 == layers
        parts += [nn.Linear(widths[at], widths[at + 1], bias=False), nn.BatchNorm1d(widths[at + 1], affine=not last)]
        if not last:
            parts.append(nn.ReLU(inplace=True))
    return nn.Sequential(*parts)


def _fix_unread(encoder: SliceEncoder, architecture: str) -> None:
    """Fixes parameters that the feature does not pass, such as the hidden layer of a classifier: they never get a gradient.

    Raises:
        BadPretrainingSetting: No parameter gets one.
    """
    encoder.eval()
    features = encoder(torch.full((1, *encoder.row_shape), 127.0))
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    if not features.requires_grad:
        raise BadPretrainingSetting(
            f"model.architecture: {architecture} computes no gradients, so it cannot be trained."
        )
    for parameter, gradient in zip(
        trained, torch.autograd.grad(features.sum(), trained, allow_unused=True), strict=True
    ):
        if gradient is None:
            parameter.requires_grad_(False)
