"""DINOv2, DINOv3 and RAD-DINO: published self-supervised encoders, and DINOv2 with seeded weights."""

from dataclasses import replace

from slicebank_models.builtin.untrained import untrained_card
from slicebank_models.cards import EncoderCard, Interpolation, draft_card
from slicebank_models.weights_source import WeightsSource

_DINOV2_PAPER = "Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193"
_REGISTERS_PAPER = "Darcet et al., Vision Transformers Need Registers, arXiv:2309.16588"
_DINOV3_PAPER = "Siméoni et al., DINOv3, arXiv:2508.10104"
_RAD_DINO_PAPER = (
    "Pérez-García et al., Exploring scalable medical image encoders beyond text supervision, "
    "Nature Machine Intelligence 2025, doi:10.1038/s42256-024-00965-w"
)
_DINOV2_CODE = "https://github.com/facebookresearch/dinov2@b8931f7bf91576930313be2c6d6af376033b35f0"
_TIMM_CODE = "https://github.com/huggingface/pytorch-image-models@v1.0.31"
_DINOV2_LICENCE_URL = "https://github.com/facebookresearch/dinov2/blob/main/LICENSE"
_DINOV3_LICENCE_URL = "https://ai.meta.com/resources/models-and-libraries/dinov3-license/"
_MEDICAL_MEAN = (0.5307, 0.5307, 0.5307)
_MEDICAL_STD = (0.2583, 0.2583, 0.2583)
_FILE = "model.safetensors"

_POSITIONS = (
    "Trained at 518 pixels; at 224, the size of the paper's evaluation, positions are resampled as the official code does, in "
    "every forward pass: the digest is that of the published tensors."
)


def _published(
    encoder_id: str,
    architecture: str,
    source: WeightsSource,
    *,
    dim: int,
    parameters: int,
    row_bytes: int,
    input_size: int,
    licence: str,
    paper: str,
    description: str,
    code: str,
    notes: str,
) -> EncoderCard:
    draft = draft_card(
        encoder_id, architecture, licence=licence, paper=paper, description=description, input_size=input_size
    )
    return replace(
        draft,
        dim=dim,
        parameters=parameters,
        row_bytes=row_bytes,
        interpolation=Interpolation.BICUBIC,
        source=source,
        code=code,
        notes=notes,
    )


# Size, dimensions, parameters and bytes a row: plain, then with registers. Bytes a row here and below: the peak of live tensors
# of a batch of three less that of one, halved, with all of attention's weights in memory.
_DINOV2 = (
    ("small", "vits14", 384, 22056192, 5_500_000, 22057344, 5_300_000),
    ("base", "vitb14", 768, 86579712, 8_500_000, 86582016, 7_900_000),
    ("large", "vitl14", 1024, 304367616, 11_200_000, 304370688, 10_300_000),
    ("giant", "vitg14", 1536, 1136479232, 22_800_000, 1136483840, 21_500_000),
)


def _dinov2(size: str, short: str, dim: int, parameters: int, row_bytes: int) -> EncoderCard:
    return _published(
        f"dinov2_{short}.lvd142m",
        f"dinov2_{short}",
        WeightsSource(f"timm/vit_{size}_patch14_dinov2.lvd142m", _FILE, licence_url=_DINOV2_LICENCE_URL),
        dim=dim,
        parameters=parameters,
        row_bytes=row_bytes,
        input_size=224,
        licence="Apache-2.0",
        paper=_DINOV2_PAPER,
        description=f"DINOv2, ViT-{size} with patches of 14 pixels, trained on 142 million photographs: the normed class token.",
        code=_DINOV2_CODE,
        notes=f"{_POSITIONS} Also reads dinov2_{short}_pretrain.pth of the official repository.",
    )


def _dinov2_registers(size: str, short: str, dim: int, parameters: int, row_bytes: int) -> EncoderCard:
    model = f"vit_{size}_patch14_reg4_dinov2.lvd142m"
    return _published(
        f"dinov2_{short}_reg.lvd142m",
        f"timm:{model}",
        WeightsSource(f"timm/{model}", _FILE, licence_url=_DINOV2_LICENCE_URL),
        dim=dim,
        parameters=parameters,
        row_bytes=row_bytes,
        input_size=224,
        licence="Apache-2.0",
        paper=f"{_DINOV2_PAPER}; {_REGISTERS_PAPER}",
        description=f"DINOv2, ViT-{size} with patches of 14 pixels and four registers: the normed class token.",
        code=_DINOV2_CODE,
        notes=f"{_POSITIONS} timm adds the class token's position to the token; dinov2_{short}_reg4_pretrain.pth of the official "
        f"repository, which does not, is read by the architecture dinov2_{short}_reg.",
    )


# Id, model of timm, input size, dimensions, parameters and bytes a row.
_DINOV3 = (
    ("dinov3_vits16.lvd1689m", "vit_small_patch16_dinov3.lvd1689m", 256, 384, 21586944, 6_100_000),
    ("dinov3_vitb16.lvd1689m", "vit_base_patch16_dinov3.lvd1689m", 256, 768, 85641216, 8_100_000),
    ("dinov3_vitl16.lvd1689m", "vit_large_patch16_dinov3.lvd1689m", 256, 1024, 303079424, 10_500_000),
    ("dinov3_convnext_tiny.lvd1689m", "convnext_tiny.dinov3_lvd1689m", 224, 768, 27820128, 3_400_000),
    ("dinov3_convnext_small.lvd1689m", "convnext_small.dinov3_lvd1689m", 224, 768, 49454688, 3_400_000),
    ("dinov3_convnext_base.lvd1689m", "convnext_base.dinov3_lvd1689m", 224, 1024, 87566464, 4_300_000),
    ("dinov3_convnext_large.lvd1689m", "convnext_large.dinov3_lvd1689m", 224, 1536, 196230336, 6_100_000),
)


def _dinov3(encoder_id: str, model: str, input_size: int, dim: int, parameters: int, row_bytes: int) -> EncoderCard:
    convolutional = model.startswith("convnext")
    kind = "ConvNeXt" if convolutional else "vision transformer with rotary positions and four registers"
    feature = "the pooled, normed map" if convolutional else "the normed class token"
    return _published(
        encoder_id,
        f"timm:{model}",
        WeightsSource(f"timm/{model}", _FILE, licence_url=_DINOV3_LICENCE_URL),
        dim=dim,
        parameters=parameters,
        row_bytes=row_bytes,
        input_size=input_size,
        licence="DINOv3 License (Meta): its terms on use and on naming DINOv3 come with the weights",
        paper=_DINOV3_PAPER,
        description=f"DINOv3, {kind}, distilled from the model of 7 billion parameters: {feature}.",
        code=_TIMM_CODE,
        notes="Meta's own repositories (facebook/dinov3-*) are gated; timm's copies are under the same licence.",
    )


_RAD_DINO = replace(
    _published(
        "rad_dino",
        "hf:dinov2",
        WeightsSource(
            "microsoft/rad-dino", _FILE, licence_url="https://huggingface.co/microsoft/rad-dino/blob/main/LICENSE"
        ),
        dim=768,
        parameters=86580480,
        row_bytes=54_000_000,
        input_size=518,
        licence="MIT since 2025, MSRLA (research only) before; the authors ask for research use, not clinical practice",
        paper=_RAD_DINO_PAPER,
        description="RAD-DINO: DINOv2's ViT-B/14 trained further on chest radiographs, 518 pixels: the normed class token.",
        code="https://github.com/huggingface/transformers@v5.24.0",
        notes="Needs the extra `hf`. 1,370 tokens a row: about eight times the work of the same network at 224 pixels.",
    ),
    mean=_MEDICAL_MEAN,
    std=_MEDICAL_STD,
    config={
        "model_type": "dinov2",
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "mlp_ratio": 4,
        "hidden_act": "gelu",
        "image_size": 518,
        "patch_size": 14,
        "num_channels": 3,
        "qkv_bias": True,
        "layer_norm_eps": 1e-6,
        "layerscale_value": 1.0,
        "use_swiglu_ffn": False,
    },
)

_UNTRAINED = untrained_card(
    "dinov2_vits14",
    "DINOv2 vision transformer",
    dim=384,
    parameters=22056192,
    digest="1711702c110b9f4a65e4b97d1cfee4f36293f7d6a8f890049204f41272e6d546",
    licence="Apache-2.0 (own implementation; weights by formula)",
    paper=_DINOV2_PAPER,
    code=_DINOV2_CODE,
    row_bytes=5_500_000,
)

CARDS = (
    *(_dinov2(size, short, dim, plain, plain_row) for size, short, dim, plain, plain_row, _, _ in _DINOV2),
    *(_dinov2_registers(size, short, dim, reg, reg_row) for size, short, dim, _, _, reg, reg_row in _DINOV2),
    *(_dinov3(*model) for model in _DINOV3),
    _RAD_DINO,
    _UNTRAINED,
)
