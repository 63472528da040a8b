"""The right feature of models of transformers, files as they are published, and what is refused."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from slicebank_models.cards import EncoderCard, Interpolation
from slicebank_models.encoders.build import build_encoder
from slicebank_models.encoders.hf_model import HfEncoder, draft_hf_card
from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.errors import BadCard, CheckpointMismatch
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry

SIDE = 56
TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "image_size": SIDE,
    "patch_size": 14,
}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 64, 64], "image_size": SIDE}
TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
NO_PROCESSOR: dict[str, Any] = {"size": {"height": SIDE, "width": SIDE}}


def card_of(config: Mapping[str, Any], **changes: Any) -> EncoderCard:
    return draft_hf_card("owner/model", config, {**NO_PROCESSOR, **changes}, encoder_id="mine")


def published(model: Any, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A repository as transformers itself writes it: names of tensors, configuration."""
    model.save_pretrained(folder)
    return folder / "model.safetensors", model.config.to_dict()


def installed(file: Path, config: Mapping[str, Any], folder: Path, **changes: Any) -> HfEncoder:
    registry = EncoderRegistry(folder / "encoders")
    card, _ = install_encoder(registry, card_of(config, **changes), file)
    encoder = load_encoder(card, registry.folder)
    assert isinstance(encoder, HfEncoder)
    assert encoder.dim == card.dim
    return encoder


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return torch.randint(0, 256, (2, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def jittered(model: Any) -> Any:
    """Random biases and norms too: new models have zeros and ones there, which could be swapped unseen."""
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor += 0.05 * torch.randn_like(tensor)
    return model.eval()


@pytest.mark.parametrize(
    ("model_class", "config", "feature"),
    [
        ("Dinov2Model", transformers.Dinov2Config(**TINY), "pooler_output"),
        ("Dinov2Model", transformers.Dinov2Config(**TINY, use_swiglu_ffn=True), "pooler_output"),
        ("Dinov2WithRegistersModel", transformers.Dinov2WithRegistersConfig(**TINY), "pooler_output"),
        ("DINOv3ViTModel", transformers.DINOv3ViTConfig(**TINY, num_register_tokens=4), "pooler_output"),
        ("CLIPVisionModel", transformers.CLIPVisionConfig(**TINY), "pooler_output"),
        ("SiglipVisionModel", transformers.SiglipVisionConfig(**TINY), "pooler_output"),
        ("BeitModel", transformers.BeitConfig(**TINY), "pooler_output"),
        ("ViTModel", transformers.ViTConfig(**TINY), "class token"),
        ("DeiTModel", transformers.DeiTConfig(**TINY), "class token"),
        ("IJepaModel", transformers.IJepaConfig(**TINY), "mean"),
        ("ConvNextModel", transformers.ConvNextConfig(**STAGES), "pooler_output"),
        ("ResNetModel", transformers.ResNetConfig(**STAGES, embedding_size=8), "pooler_output"),
    ],
)
def test_published_files_give_the_feature_of_the_rule(
    model_class: str, config: Any, feature: str, rows: Tensor, tmp_path: Path
) -> None:
    model = jittered(getattr(transformers, model_class)(config))
    file, written = published(model, tmp_path)
    encoder = installed(file, written, tmp_path)
    with torch.inference_mode():
        outputs = model(pixel_values=encoder.channels(rows))
        expected = {
            "pooler_output": lambda: outputs.pooler_output.flatten(1),
            "class token": lambda: outputs.last_hidden_state[:, 0],
            "mean": lambda: outputs.last_hidden_state.mean(dim=1),
        }[feature]()
        torch.testing.assert_close(encoder(rows), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("joint", "tower"), [("CLIP", "CLIPVision"), ("Siglip", "SiglipVision")])
def test_the_image_tower_of_a_model_with_text(joint: str, tower: str, rows: Tensor, tmp_path: Path) -> None:
    config = getattr(transformers, f"{joint}Config")(text_config=TEXT, vision_config=TINY)
    model = jittered(getattr(transformers, f"{joint}Model")(config))
    file, written = published(model, tmp_path)
    encoder = installed(file, written, tmp_path)
    assert type(encoder.trunk).__name__ == f"{tower}Model"
    with torch.inference_mode():
        expected = model.vision_model(pixel_values=encoder.channels(rows)).pooler_output
        torch.testing.assert_close(encoder(rows), expected, rtol=1e-4, atol=1e-5)


def test_heads_of_tasks_are_left_out_for_a_reason(rows: Tensor, tmp_path: Path) -> None:
    model = jittered(transformers.ViTForImageClassification(transformers.ViTConfig(**TINY, num_labels=5)))
    file, written = published(model, tmp_path)
    registry = EncoderRegistry(tmp_path / "encoders")
    card, report = install_encoder(registry, card_of(written), file)
    assert {entry.key: "head" in entry.reason for entry in report.dropped} == {
        "classifier.weight": True,
        "classifier.bias": True,
    }
    encoder = load_encoder(card, registry.folder)
    with torch.inference_mode():
        images = encoder.get_submodule("channels")(rows)
        expected = model.vit(pixel_values=images).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder(rows), expected, rtol=1e-4, atol=1e-5)


def test_masked_autoencoders_are_read_without_masking(rows: Tensor, tmp_path: Path) -> None:
    decoder = {"decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    model = jittered(transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**TINY, **decoder)))
    file, written = published(model, tmp_path)
    encoder = installed(file, written, tmp_path)
    with torch.inference_mode():
        features = encoder(rows)
        assert torch.equal(features, encoder(rows))
        model.vit.config.mask_ratio = 0.0
        expected = model.vit(pixel_values=encoder.channels(rows)).last_hidden_state[:, 0]
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_another_input_size_resamples_positions_in_the_forward_pass(tmp_path: Path) -> None:
    model = jittered(transformers.ViTModel(transformers.ViTConfig(**TINY)))
    file, written = published(model, tmp_path)
    encoder = installed(file, written, tmp_path, size={"height": 28, "width": 28})
    smaller = torch.arange(28 * 28).remainder(251).to(torch.uint8).view(1, 28, 28)
    assert encoder.weights()["embeddings.position_embeddings"].shape == (1, 17, 64)
    with torch.inference_mode():
        outputs = model(pixel_values=encoder.channels(smaller), interpolate_pos_encoding=True)
        torch.testing.assert_close(encoder(smaller), outputs.last_hidden_state[:, 0], rtol=1e-4, atol=1e-5)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    card = card_of({"model_type": "dinov2", **TINY})
    weights = seeded_weights(0, build_encoder(card).weights())
    weights["encoder.layer.9.norm1.weight"] = weights.pop("encoder.layer.0.norm1.weight")
    save_file(weights, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointMismatch) as caught:
        install_encoder(EncoderRegistry(tmp_path / "encoders"), card, tmp_path / "odd.safetensors")
    assert caught.value.missing == ("encoder.layer.0.norm1.weight",)
    assert caught.value.left_over == ("encoder.layer.9.norm1.weight",)
    with pytest.raises(KeyError, match="one side only"):
        build_encoder(card).set_weights(weights)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "dinov2", "auto_map": {"AutoModel": "x.Y"}}, "never runs"),
        ({"model_type": "clip", "auto_map": {"AutoModel": "x.Y"}}, "never runs"),
        ({"model_type": "bert"}, "no encoder of single images"),
        ({"model_type": "videomae"}, "no encoder of single images"),
        ({"model_type": "detr"}, "no encoder of single images"),
        ({"model_type": "wholly_new"}, "no model of type"),
        ({"architecture": "resnet50"}, "timm:NAME"),
        ({}, "model_type"),
        ({"model_type": "dinov2", **TINY, "num_channels": 1}, "1 channels"),
    ],
)
def test_what_is_no_image_encoder_is_refused_with_a_sentence(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadCard, match=reason):
        draft_hf_card("owner/model", config, None)


def test_the_card_is_what_the_repository_says() -> None:
    processor = {
        "do_center_crop": True,
        "crop_size": {"height": 518, "width": 518},
        "size": {"shortest_edge": 588},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
        "resample": 3,
    }
    card = draft_hf_card("microsoft/rad-dino", {"model_type": "dinov2", **TINY}, processor)
    assert (card.id, card.architecture) == ("hf.microsoft.rad-dino", "hf:dinov2")
    assert (card.input_size, card.mean, card.std) == (518, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert card.interpolation is Interpolation.BICUBIC
    assert card.config["hidden_size"] == 64
    assert EncoderCard.from_dict(card.as_dict()) == card
    bare = draft_hf_card("owner/model", {"model_type": "dinov2", **TINY}, None)
    assert (bare.input_size, bare.interpolation) == (SIDE, Interpolation.BILINEAR)
    assert "no image processor" in bare.notes


@pytest.mark.parametrize(
    "processor",
    [{"do_rescale": False}, {"rescale_factor": 1.0}, {"size": {"height": 224, "width": 384}}],
)
def test_image_processors_that_rows_cannot_follow_are_refused(processor: dict[str, Any]) -> None:
    with pytest.raises(BadCard):
        draft_hf_card("owner/model", {"model_type": "dinov2", **TINY}, processor)


def test_without_transformers_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from slicebank_models.encoders.hf_library import transformers_library\n"
        "from slicebank_models.errors import UnknownArchitecture\n"
        "try: transformers_library()\n"
        "except UnknownArchitecture as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "slicebank[hf]" in done.stdout


def test_a_card_without_configuration_cannot_be_built() -> None:
    card = card_of({"model_type": "dinov2", **TINY})
    values = {**card.as_dict(), "config": {}}
    with pytest.raises(BadCard, match=r"config\.json"):
        build_encoder(EncoderCard.from_dict(values))
