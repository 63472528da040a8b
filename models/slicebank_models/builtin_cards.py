"""The encoders that every installation has. No torch here.

No pre-trained weights come with slicebank yet: networks start from seeded weights (`encoders/seeding.py`) and are
called `<architecture>.untrained`, so that nobody takes their features for learned ones.
"""

from dataclasses import replace

from slicebank_models.cards import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EncoderCard,
    EncoderLevel,
    InputKind,
    WeightsState,
)

DEFAULT_ENCODER = "mambaout_femto.untrained"
SEED = 0

_MAMBAOUT_PAPER = "Yu and Wang, MambaOut: Do We Really Need Mamba for Vision? arXiv:2405.07992"
_MOCO_PAPER = "Chen, Xie and He, An Empirical Study of Training Self-Supervised Vision Transformers, arXiv:2104.02057"
_MAMBAOUT_LICENCE = "Apache-2.0 (architecture as in timm; weights by formula)"
_MOCO_LICENCE = "Apache-2.0 (own implementation; weights by formula)"


def _untrained(architecture: str, dim: int, parameters: int, digest: str) -> EncoderCard:
    mambaout = architecture.startswith("mambaout")
    family = "MambaOut, gated convolutions" if mambaout else "MoCo v3 vision transformer"
    return EncoderCard(
        id=f"{architecture}.untrained",
        architecture=architecture,
        dim=dim,
        level=EncoderLevel.SLICE,
        input_kind=InputKind.GRAY8,
        input_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        windows=("abdomen", "lung"),
        licence=_MAMBAOUT_LICENCE if mambaout else _MOCO_LICENCE,
        paper=_MAMBAOUT_PAPER if mambaout else _MOCO_PAPER,
        description=f"{family}, with seeded, UNTRAINED weights: for trying the pipeline, not for clinical questions.",
        parameters=parameters,
        weights=WeightsState.SEEDED,
        weights_digest=digest,
        seed=SEED,
        trained=False,
    )


# Architecture, dimensions, parameters and digest of the weights that the formula gives for SEED.
_NETWORKS = (
    ("mambaout_femto", 288, 5816304, "418d31870abf31192dfc36a4ddbba66569f4ced0271d0fdf445705f98225a10f"),
    ("mambaout_kobe", 288, 7652976, "80c6a9d463381ddae5acf5be6966a5a982e6c1011de0225a7d29d216f33dc740"),
    ("mambaout_tiny", 576, 22906080, "2fa609d7967319140915c70f1483437307e06150830732481fcbd9c70817128c"),
    ("mambaout_small", 576, 44849056, "7885349dcf66485be61080b7979dc2e59c6c6033ec8235ee476b1a91023b38cf"),
    ("mambaout_base", 768, 79371580, "76e0e32148070b50fcc806a448fb0b18a306b569daa3ac35107b0b86899b022c"),
    ("mambaout_small_rw", 576, 44861152, "e94dbb638f6ddb57fd7959977d8efdd4acf8c175aba689b166128f78db953a02"),
    ("mambaout_base_short_rw", 768, 83392320, "891f2621b4e6300eb40fb4a4cbc799700528eccf3f82504aa533fd7cbf15fc32"),
    ("mambaout_base_tall_rw", 768, 81046080, "93e41f60e4bb8d26181e952ff2cb4d7e1c736639a3a8c3a7f92fa7da45292adc"),
    ("mambaout_base_wide_rw", 768, 89012736, "3a5bd921e32d431dd52916a175b760f49f5c173d009babebf94c0bf0e1d11b02"),
    ("mambaout_base_plus_rw", 768, 96221184, "ccd060ef3f32521050333415c64e3a0a574afa51fe04178c12b8c3eb15cf79bc"),
    ("vit_small", 384, 21665664, "1843dd049c358954cc7b4bb715cbeef6f6e5ac693305ac3bf6a2a477336b1644"),
    ("vit_base", 768, 85798656, "dd3e0a0a502513bfaf522bbf2796bd60b32d7a07ec388d88deae48ad233b6028"),
    ("vit_conv_small", 384, 20618832, "c7f3eb956934eec96d859232d676e37d7bcb109faaeac7a96bfe0d04078b9879"),
    ("vit_conv_base", 768, 82202784, "0b74acbd0b3dfd26477bdbdb51e577a55edb4653d175b793a07be378f2a3c4de"),
)

_HU_STATISTICS = EncoderCard(
    id="hu_statistics",
    architecture="hu_statistics",
    dim=575,
    level=EncoderLevel.SLICE,
    input_kind=InputKind.HU,
    input_size=256,
    mean=(),
    std=(),
    windows=("full",),
    licence="Apache-2.0",
    paper="",
    description="Histograms and moments of HU on a grid. No weights: a baseline for every other encoder.",
    parameters=0,
    weights=WeightsState.NONE,
    weights_digest="0721af62e4489cffa8e42207d9c5cd2050f70d2e35dd99488e75ccbd0332b0a4",
    trained=False,
)

_DUMMY = EncoderCard(
    id="dummy",
    architecture="dummy",
    dim=16,
    level=EncoderLevel.SLICE,
    input_kind=InputKind.GRAY8,
    input_size=64,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    windows=("abdomen", "lung"),
    licence="Apache-2.0",
    paper="",
    description="A fixed random projection of cell means, for tests of everything around an encoder.",
    parameters=0,
    weights=WeightsState.NONE,
    weights_digest="1e54a2271b035eb74d36444e488e6a023bc6f1516bacfd1a4bd96c0900a2db64",
    trained=False,
)

_SLEEP = replace(
    _DUMMY,
    id="sleep",
    architecture="sleep",
    description="Sleeps 0.05 s a row, then gives the features of `dummy`: for trying a deployment, not for clinical questions.",
)

BUILTIN_CARDS = (*(_untrained(*network) for network in _NETWORKS), _HU_STATISTICS, _DUMMY, _SLEEP)
