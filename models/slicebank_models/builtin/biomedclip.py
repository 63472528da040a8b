"""BiomedCLIP's image tower."""

from dataclasses import replace

from slicebank_models.builtin.untrained import untrained_card
from slicebank_models.cards import Interpolation, WeightsState
from slicebank_models.weights_source import WeightsSource

# What open_clip's `image_transform` does with the published settings: OpenAI's mean and deviation, bicubic.
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

_REPOSITORY = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"

_UNTRAINED = replace(
    untrained_card(
        "biomedclip",
        "The image tower of BiomedCLIP (ViT-B/16 and a projection)",
        dim=512,
        parameters=86191872,
        digest="a950c676142443b8c3bb23e43d7da8267d4f38a0457397c4c8d4abc09f9f9fc0",
        licence="Apache-2.0 (architecture as in timm; weights by formula)",
        paper="Zhang et al., BiomedCLIP: a multimodal biomedical foundation model pretrained from fifteen million "
        "scientific image-text pairs, arXiv:2303.00915",
        code="https://github.com/mlfoundations/open_clip@v3.3.0",
        row_bytes=7_900_000,  # beyond the weights, by torch's memory profile of the processor
    ),
    mean=OPENAI_MEAN,
    std=OPENAI_STD,
    interpolation=Interpolation.BICUBIC,
)

_PUBLISHED = replace(
    _UNTRAINED,
    id="biomedclip",
    licence="MIT",
    description="BiomedCLIP's image embedding: trained on 15 million figures and captions of biomedical articles.",
    weights=WeightsState.MISSING,
    weights_digest="",
    weights_file="weights.safetensors",
    seed=None,
    trained=True,
    source=WeightsSource(
        repo=_REPOSITORY,
        file="open_clip_pytorch_model.bin",
        sha256="52cc993c5c5ff962bd0c60931874bc001e7e9b41666a385530f4a036294576be",
        licence_url=f"https://huggingface.co/{_REPOSITORY}/blob/main/LICENSE.md",
    ),
    notes="A row is open_clip's `encode_image` with its default normalize=False: not of unit length. The model card names "
    "research as the intended use and calls deployed use out of scope. The file's text tower is left out.",
)

CARDS = (_PUBLISHED, _UNTRAINED)
