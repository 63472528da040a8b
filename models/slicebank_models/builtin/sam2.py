"""SAM 2's image encoder: four sizes, the weights of SAM 2 and of SAM 2.1."""

from dataclasses import replace

from slicebank_models.builtin.untrained import untrained_card
from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.weights_source import WeightsSource

_PAPER = "Ravi et al., SAM 2: Segment Anything in Images and Videos, arXiv:2408.00714"
_CODE = "https://github.com/facebookresearch/sam2@2b90b9f5ceec907a1c18123530e92e794ad901a4"
_LICENCE_URL = "https://github.com/facebookresearch/sam2/blob/main/LICENSE"
_NOTES = (
    "A row is the mean over positions of `vision_features` (stride 16). The weights were trained at 1024 pixels; 224 is "
    "what the paper that compares these encoders used, and a card with another multiple of 32 as input_size works too."
)

# Size: name in addresses, parameters of trunk and neck, digest of the seeded weights, bytes a row of 224 pixels takes; the
# bytes are those that torch's memory profile of the processor shows beyond the weights.
_SIZES = {
    "tiny": ("tiny", 27219136, "d33a862bdbef6fee8c03360d7bac8a65ffbcc5b39d030551a75de5eb8a7bb37f", 17_500_000),
    "small": ("small", 34316992, "518ca256b53f9f8eb6dac16cd55d47843ed1b93b5ffe9ab5f9b398c133d04383", 17_500_000),
    "base_plus": (
        "base-plus",
        69106816,
        "d9af1dc25b542ae0418f87c5e299e10aea9da34cf83d9fe3d372bcb04dedf9c5",
        20_300_000,
    ),
    "large": ("large", 212703280, "948381349e371e5db534ae9288b050427fdf1af411542921bb25034c30360b36", 25_900_000),
}

# sha256 of the files as the owner's pages on the hub show them; for `large`, as at least three independent copies agree.
# Where neither was seen, there is none.
_SHA256 = {
    ("tiny", "2"): "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    ("small", "2"): "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    ("base_plus", "2"): "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    ("large", "2"): "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
    ("tiny", "2.1"): "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    ("large", "2.1"): "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
}


def _untrained(size: str) -> EncoderCard:
    _, parameters, digest, row_bytes = _SIZES[size]
    return untrained_card(
        f"sam2_hiera_{size}",
        "The image encoder of SAM 2 (Hiera trunk and pyramid neck)",
        dim=256,
        parameters=parameters,
        digest=digest,
        licence="Apache-2.0 (own implementation; weights by formula)",
        paper=_PAPER,
        code=_CODE,
        row_bytes=row_bytes,
    )


def _published(size: str, version: str) -> EncoderCard:
    address = _SIZES[size][0]
    notes = _NOTES
    if size == "large":
        notes += " The 213 M parameters of that paper are trunk and neck; SAM 2 with its decoder and memory has 224 M."
    return replace(
        _untrained(size),
        id=f"sam2_hiera_{size}" if version == "2" else f"sam2_hiera_{size}.sam2_1",
        licence="Apache-2.0",
        description=f"Mean over positions of what SAM {version}'s image encoder (Hiera, {size.replace('_', ' ')}) sees.",
        weights=WeightsState.MISSING,
        weights_digest="",
        weights_file="weights.safetensors",
        seed=None,
        trained=True,
        source=WeightsSource(
            repo=f"facebook/sam{version}-hiera-{address}",
            file=f"sam{version}_hiera_{size}.pt",
            sha256=_SHA256.get((size, version), ""),
            licence_url=_LICENCE_URL,
        ),
        notes=notes,
    )


CARDS = (
    *(_published(size, version) for version in ("2", "2.1") for size in _SIZES),
    *(_untrained(size) for size in _SIZES),
)
