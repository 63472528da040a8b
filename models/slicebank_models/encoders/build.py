"""From the name of an architecture to its family, and to a module without its weights."""

from collections.abc import Iterator
from importlib import import_module

from slicebank_models.cards import EncoderCard
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.encoders.family import EncoderFamily
from slicebank_models.encoders.plugin_families import plugin_families, require_importable
from slicebank_models.errors import UnknownArchitecture

FAMILY_MODULES = (
    "mambaout",
    "vit_moco",
    "vmamba",
    "biomedclip",
    "sam2",
    "ct_clip",
    "merlin",
    "ct_fm",
    "dinov2",
    "timm_model",
    "hf_model",
    "hu_statistics",
    "dummy",
    "dummy_scan",
    "sleep",
)
"""Files of this folder, in the order in which checkpoints are offered to them."""


def families() -> Iterator[EncoderFamily]:
    """Yields every family: slicebank's own, then those of plug-ins that can be imported."""
    for module in FAMILY_MODULES:
        family: EncoderFamily = import_module(f"slicebank_models.encoders.{module}").FAMILY
        yield family
    yield from plugin_families()


def family_of(architecture: str) -> EncoderFamily:
    """Returns the family that builds an architecture.

    Raises:
        UnknownArchitecture: None does, or the plug-in that does cannot be imported.
    """
    known: list[str] = []
    require_importable(architecture)
    for family in families():
        if family.has(architecture):
            return family
        known += (f"{name}NAME" if name.endswith(":") else name for name in family.architectures)
    raise UnknownArchitecture(f"There is no architecture {architecture[:128]!r}; known are {', '.join(known)}.")


def build_encoder(card: EncoderCard) -> Encoder:
    """Returns the card's architecture in evaluation mode; its weights are not the card's yet.

    Raises:
        UnknownArchitecture: This version has no such architecture.
    """
    return family_of(card.architecture).build(card).eval().requires_grad_(False)
