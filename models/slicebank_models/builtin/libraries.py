"""One encoder with seeded weights for each library whose models are read by name: they show that the library works here."""

from dataclasses import replace

from slicebank_models.builtin.untrained import untrained_card
from slicebank_models.cards import Interpolation

_TIMM = replace(
    untrained_card(
        "timm.vit_tiny_patch16_224",
        "A vision transformer of timm",
        dim=192,
        parameters=5524416,
        digest="ea5e5e09c58e384c378251fd7c9e1e3915f1e1da9a4f0055e9b23bbe6cdd3f78",
        licence="Apache-2.0 (timm; weights by formula)",
        paper="Steiner et al., How to train your ViT?, arXiv:2106.10270",
        code="https://github.com/huggingface/pytorch-image-models@v1.0.31",
        row_bytes=2_400_000,
    ),
    architecture="timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    interpolation=Interpolation.BICUBIC,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)

_TRANSFORMERS = replace(
    untrained_card(
        "hf.dinov2_tiny",
        "A small DINOv2 of transformers (needs the extra `hf`)",
        dim=192,
        parameters=2834496,
        digest="2f82a58dc649bd099a39d083bfdfaad46bd6b45ad59b5a18db5b0987fb1b3b42",
        licence="Apache-2.0 (transformers; weights by formula)",
        paper="Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193",
        code="https://github.com/huggingface/transformers@v5.24.0",
        row_bytes=3_500_000,
    ),
    architecture="hf:dinov2",
    interpolation=Interpolation.BICUBIC,
    config={
        "model_type": "dinov2",
        "hidden_size": 192,
        "num_hidden_layers": 6,
        "num_attention_heads": 3,
        "image_size": 224,
        "patch_size": 14,
        "use_mask_token": False,
    },
)

CARDS = (_TIMM, _TRANSFORMERS)
