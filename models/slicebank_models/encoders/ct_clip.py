"""CT-CLIP (Hamamci et al., arXiv:2403.17834) as a scan encoder: the image latent of its contrastive training.

The feature is the 512-d latent of unit length that the original's `forward(..., return_latents=True)` gives: what its
zero-shot scores compare with texts and what its classifiers start from. The transformer is computed in float32
whatever precision is asked for, because rounding moves tokens from one code to another, and a code is no small change.
The projection to the latent, five sixths of the weights, comes after the codes and may be lowered.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from slicebank_models.cards import EncoderCard
from slicebank_models.encoders.ct_vit import CODES, DIM, PATCH, PATCH_FRAMES, CTClipImage
from slicebank_models.encoders.family import DroppedKey, EncoderFamily, KeyRule
from slicebank_models.encoders.scan_encoder import ScanEncoder
from slicebank_models.errors import BadCard
from slicebank_models.volume_spec import VolumeSpec

ARCHITECTURE = "ct_clip"
_WRAPPER = "trained_model."  # of the published fine-tuned classifiers

_DROPPED_PREFIXES = (
    ("text_transformer.", "text encoder"),
    ("to_text_latent.", "projection of texts"),
    ("to_text_latent_extra.", "projection of texts"),
    ("to_visual_latent_extra.", "second projection of volumes, which the original makes and does not use"),
    ("temperature", "temperature of the contrastive training"),
    ("mlm.", "side task of the training"),
    ("visual_ssl.", "side task of the training"),
    ("classifier.", "classifier of findings"),
    ("visual_transformer.to_patch_emb_first_frame.", "embedding of a first frame, which the original does not use"),
    ("visual_transformer.to_pixels", "decoder of the first training"),
    ("visual_transformer.dec_", "decoder of the first training"),
    ("visual_transformer.discr.", "discriminator of the first training"),
    ("visual_transformer.vgg.", "perceptual loss of the first training"),
    ("visual_transformer.vq._codebook.initted", "state of the codebook's training"),
    ("visual_transformer.vq._codebook.cluster_size", "state of the codebook's training"),
    ("visual_transformer.vq._codebook.embed_avg", "state of the codebook's training"),
)
_DROPPED_PARTS = (
    (".null_kv", "empty: self-attention has no further keys"),
    (".context_norm.", "norm of a context, which self-attention has none of"),
)


class CTClipEncoder(ScanEncoder):
    """CT-CLIP on volumes whose axes are frames, then the two axes of the original's arrays."""

    trunk: CTClipImage

    def __init__(self, spec: VolumeSpec) -> None:
        super().__init__(dim=DIM, spec=spec)
        frames, height, width = spec.size
        if frames % PATCH_FRAMES or height % PATCH or width % PATCH:
            raise BadCard(f"{ARCHITECTURE} takes frames in tens and sides in twenties, not {spec.size}.")
        self.trunk = CTClipImage(height, width)

    def block_matrices(self) -> Iterator[nn.Module]:
        """Yields the projection to the latent alone."""
        yield self.trunk.to_visual_latent

    def forward(self, volumes: Tensor) -> Tensor:
        """Encodes (B, frames, H, W) float32 volumes to (B, 512) float32 unit vectors."""
        features: Tensor = self.trunk(volumes)
        return features


def _key(key: str) -> str | DroppedKey:
    name = key.removeprefix(_WRAPPER)
    for prefix, reason in _DROPPED_PREFIXES:
        if name.startswith(prefix):
            return DroppedKey(key, reason)
    if name.startswith("visual_transformer."):
        for part, reason in _DROPPED_PARTS:
            if part in name:
                return DroppedKey(key, reason)
    return name


def _key_rules(architecture: str, keys: frozenset[str]) -> KeyRule:
    del architecture, keys  # one naming for all
    return _key


def _infer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    named = {key.removeprefix(_WRAPPER): shape for key, shape in shapes.items()}
    codes = named.get("visual_transformer.vq._codebook.embed")
    latent = named.get("to_visual_latent.weight")
    return ARCHITECTURE if codes == (1, CODES, DIM) and latent is not None else None


def _build(card: EncoderCard) -> CTClipEncoder:
    if card.volume is None:
        raise BadCard(f"Encoder {card.id}: {ARCHITECTURE} needs a volume in its card.")
    return CTClipEncoder(card.volume)


FAMILY = EncoderFamily((ARCHITECTURE,), _build, _key_rules, _infer)
