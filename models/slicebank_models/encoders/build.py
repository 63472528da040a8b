"""From the name of an architecture to a module without its weights."""

from slicebank_models.cards import EncoderCard
from slicebank_models.encoders import mambaout, vit_moco
from slicebank_models.encoders.dummy import DummyEncoder
from slicebank_models.encoders.hu_statistics import HuStatisticsEncoder
from slicebank_models.encoders.sleep import SleepEncoder
from slicebank_models.encoders.slice_encoder import SliceEncoder
from slicebank_models.errors import UnknownArchitecture

ARCHITECTURES = (*mambaout.LAYOUTS, *vit_moco.LAYOUTS, "hu_statistics", "dummy", "sleep")


def build_encoder(card: EncoderCard) -> SliceEncoder:
    """Returns the card's architecture in evaluation mode; its weights are not the card's yet.

    Raises:
        UnknownArchitecture: This version has no such architecture.
    """
    name, size = card.architecture, card.input_size
    encoder: SliceEncoder
    if name in mambaout.LAYOUTS:
        encoder = mambaout.MambaOutEncoder(name, input_size=size, mean=card.mean, std=card.std)
    elif name in vit_moco.LAYOUTS:
        encoder = vit_moco.MoCoViTEncoder(name, input_size=size, mean=card.mean, std=card.std)
    elif name == "hu_statistics":
        encoder = HuStatisticsEncoder(input_size=size)
    elif name == "dummy":
        encoder = DummyEncoder(input_size=size)
    elif name == "sleep":
        encoder = SleepEncoder(input_size=size)
    else:
        raise UnknownArchitecture(f"There is no architecture {name!r}; known are {', '.join(ARCHITECTURES)}.")
    return encoder.eval().requires_grad_(False)
