"""MambaOut: gated convolutions."""

from dataclasses import replace

from slicebank_models.builtin.untrained import untrained_card
from slicebank_models.cards import EncoderCard, Interpolation, WeightsState
from slicebank_models.weights_source import WeightsSource

_PAPER = "Yu and Wang, MambaOut: Do We Really Need Mamba for Vision? arXiv:2405.07992"
_LICENCE = "Apache-2.0 (architecture as in timm; weights by formula)"
_CODE = "https://github.com/yuweihao/MambaOut@9f2f2343eb0f99f2cf3ba6b92290b5a81be2bad1"

# Architecture, dimensions, parameters, bytes a row (benchmarks/row_memory.py) and digest of the seeded weights.
_NETWORKS = (
    ("mambaout_femto", 288, 5816304, 5_700_000, "418d31870abf31192dfc36a4ddbba66569f4ced0271d0fdf445705f98225a10f"),
    ("mambaout_kobe", 288, 7652976, 5_700_000, "80c6a9d463381ddae5acf5be6966a5a982e6c1011de0225a7d29d216f33dc740"),
    ("mambaout_tiny", 576, 22906080, 11_100_000, "2fa609d7967319140915c70f1483437307e06150830732481fcbd9c70817128c"),
    ("mambaout_small", 576, 44849056, 11_100_000, "7885349dcf66485be61080b7979dc2e59c6c6033ec8235ee476b1a91023b38cf"),
    ("mambaout_base", 768, 79371580, 14_000_000, "76e0e32148070b50fcc806a448fb0b18a306b569daa3ac35107b0b86899b022c"),
    (
        "mambaout_small_rw",
        576,
        44861152,
        12_600_000,
        "e94dbb638f6ddb57fd7959977d8efdd4acf8c175aba689b166128f78db953a02",
    ),
    (
        "mambaout_base_short_rw",
        768,
        83392320,
        17_800_000,
        "891f2621b4e6300eb40fb4a4cbc799700528eccf3f82504aa533fd7cbf15fc32",
    ),
    (
        "mambaout_base_tall_rw",
        768,
        81046080,
        15_600_000,
        "93e41f60e4bb8d26181e952ff2cb4d7e1c736639a3a8c3a7f92fa7da45292adc",
    ),
    (
        "mambaout_base_wide_rw",
        768,
        89012736,
        17_800_000,
        "3a5bd921e32d431dd52916a175b760f49f5c173d009babebf94c0bf0e1d11b02",
    ),
    (
        "mambaout_base_plus_rw",
        768,
        96221184,
        17_800_000,
        "ccd060ef3f32521050333415c64e3a0a574afa51fe04178c12b8c3eb15cf79bc",
    ),
)

# Repositories of the hub's `timm`: name of the weights, what they were trained on, side of the images.
_PUBLISHED = (
    ("mambaout_femto.in1k", "ImageNet-1k by MambaOut's authors", 224),
    ("mambaout_kobe.in1k", "ImageNet-1k by MambaOut's authors", 224),
    ("mambaout_tiny.in1k", "ImageNet-1k by MambaOut's authors", 224),
    ("mambaout_small.in1k", "ImageNet-1k by MambaOut's authors", 224),
    ("mambaout_base.in1k", "ImageNet-1k by MambaOut's authors", 224),
    ("mambaout_small_rw.sw_e450_in1k", "ImageNet-1k by timm's author", 224),
    ("mambaout_base_short_rw.sw_e500_in1k", "ImageNet-1k by timm's author", 224),
    ("mambaout_base_tall_rw.sw_e500_in1k", "ImageNet-1k by timm's author", 224),
    ("mambaout_base_wide_rw.sw_e500_in1k", "ImageNet-1k by timm's author", 224),
    ("mambaout_base_plus_rw.sw_e150_in12k_ft_in1k", "ImageNet-12k, then ImageNet-1k, by timm's author", 224),
    ("mambaout_base_plus_rw.sw_e150_r384_in12k_ft_in1k", "ImageNet-12k, then ImageNet-1k, by timm's author", 384),
    ("mambaout_base_plus_rw.sw_e150_in12k", "ImageNet-12k by timm's author", 224),
)
_NOTES = (
    "The feature is the pooled, then normed vector: timm's own num_classes=0 goes on through the hidden layer of the "
    "classifier. MambaOut-tiny has 576 dimensions and 22.9 M parameters without its head, in the original and in timm alike."
)

_UNTRAINED = {
    name: untrained_card(
        name,
        "MambaOut, gated convolutions",
        dim=dim,
        parameters=parameters,
        digest=digest,
        licence=_LICENCE,
        paper=_PAPER,
        code=_CODE,
        row_bytes=row_bytes,
    )
    for name, dim, parameters, row_bytes, digest in _NETWORKS
}


def _published(encoder_id: str, trained_on: str, input_size: int) -> EncoderCard:
    untrained = _UNTRAINED[encoder_id.partition(".")[0]]
    return replace(
        untrained,
        id=encoder_id,
        licence="Apache-2.0",
        description=f"MambaOut, gated convolutions; trained on {trained_on} as a classifier of photographs.",
        input_size=input_size,
        interpolation=Interpolation.BICUBIC,
        weights=WeightsState.MISSING,
        weights_digest="",
        weights_file="weights.safetensors",
        seed=None,
        trained=True,
        source=WeightsSource(
            repo=f"timm/{encoder_id}",
            file="model.safetensors",
            licence_url=f"https://huggingface.co/timm/{encoder_id}",
        ),
        notes=_NOTES,
        row_bytes=untrained.row_bytes * input_size**2 // untrained.input_size**2,
    )


CARDS = (*_UNTRAINED.values(), *(_published(*weights) for weights in _PUBLISHED))
