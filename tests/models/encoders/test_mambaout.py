import re

import numpy as np
import pytest
import timm
import torch
from timm.models.mambaout import MambaOut
from torch import Tensor

from slicebank_models.encoders.mambaout import FAMILY, LAYOUTS, MambaOutEncoder
from slicebank_models.errors import UnknownArchitecture
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry

GREY = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def rows(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8))


def in_words(encoder: MambaOutEncoder, grey: Tensor) -> Tensor:
    """Scale, replicate, normalise, timm's own features, pool, norm: one image at a time."""
    found = []
    for image in grey:
        channels = [(image.float() / 255 - m) / s for m, s in zip(GREY["mean"], GREY["std"], strict=True)]
        tokens = encoder.trunk.forward_features(torch.stack(channels)[None])
        pooled = tokens.flatten(1, 2).mean(dim=1)
        centred = pooled - pooled.mean(dim=1, keepdim=True)
        deviation = (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        norm = encoder.trunk.head.norm
        found.append(centred / deviation * norm.weight + norm.bias)
    return torch.cat(found)


@pytest.mark.parametrize(("name", "dim"), [("mambaout_femto", 288), ("mambaout_tiny", 576)])
def test_the_feature_is_the_pooled_and_normed_vector(name: str, dim: int) -> None:
    encoder = load_encoder(EncoderRegistry().get(f"{name}.untrained"))
    assert isinstance(encoder, MambaOutEncoder)
    grey = rows(2, 224)
    with torch.inference_mode():
        features = encoder(grey)
        expected = in_words(encoder, grey)
    assert features.shape == (2, dim)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layouts_are_timms(name: str) -> None:
    with torch.device("meta"):
        ours = MambaOutEncoder(name, input_size=224, **GREY)
        theirs = timm.create_model(name, pretrained=False)
    shapes = {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}
    kept = {key: shape for key, shape in shapes.items() if not key.startswith(("head.pre_logits", "head.fc"))}
    assert {key: tuple(tensor.shape) for key, tensor in ours.weights().items()} == kept
    assert ours.dim == theirs.num_features


def test_every_timm_layout_is_there() -> None:
    assert set(LAYOUTS) == set(timm.list_models("mambaout*"))


def test_tiny_has_the_papers_parameters_without_its_head() -> None:
    with torch.device("meta"):
        encoder = MambaOutEncoder("mambaout_tiny", input_size=224, **GREY)
    assert sum(tensor.numel() for tensor in encoder.weights().values()) / 1e6 == pytest.approx(22.9, abs=0.05)


def test_norm_first_layouts_run() -> None:
    torch.manual_seed(0)
    encoder = MambaOutEncoder("mambaout_small_rw", input_size=32, **GREY).eval()
    with torch.inference_mode():
        assert encoder(rows(2, 32)).shape == (2, 576)


@pytest.mark.parametrize("name", ["mambaout_femto", "mambaout_small_rw", "mambaout_base_plus_rw"])
def test_our_forward_pass_is_timms(name: str) -> None:
    torch.manual_seed(0)
    encoder = MambaOutEncoder(name, input_size=64, **GREY).eval()
    for parameter in encoder.trunk.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    grey = rows(2, 64)
    with torch.inference_mode():
        tokens = encoder.trunk.forward_features(encoder.channels(grey))
        expected = encoder.trunk.head.norm(tokens.mean(dim=(1, 2)))
        features = encoder(grey)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_only_the_matrices_of_blocks_are_lowered() -> None:
    encoder = MambaOutEncoder("mambaout_femto", input_size=64, **GREY).eval()
    encoder.lower(torch.bfloat16)
    lowered = {name for name, parameter in encoder.trunk.named_parameters() if parameter.dtype == torch.bfloat16}
    inside = {name for name, _ in encoder.trunk.named_parameters() if ".blocks." in name and ".norm." not in name}
    assert lowered == inside
    with torch.inference_mode():
        assert encoder(rows(1, 64)).dtype == torch.float32


def official_names(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """timm's names as github.com/yuweihao/MambaOut has them."""
    renamed = {}
    for name, shape in shapes.items():
        name = name.removeprefix("head.").replace("stem.", "downsample_layers.0.").replace(".blocks.", ".")
        renamed[re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)] = shape
    return renamed


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layouts_are_told_from_files(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name, pretrained=False)
        ours = MambaOutEncoder(name, input_size=224, **GREY)
    shapes = {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}
    assert FAMILY.infer(shapes) == name
    if not name.endswith("_rw"):
        bare = {key: tuple(tensor.shape) for key, tensor in ours.weights().items()}
        assert FAMILY.infer(official_names(bare)) == name


def test_another_width_is_named() -> None:
    with torch.device("meta"):
        wider = MambaOut(depths=(3, 3, 9, 3), dims=(96, 192, 384, 768), num_classes=0)
    shapes = {key: tuple(tensor.shape) for key, tensor in wider.state_dict().items()}
    with pytest.raises(UnknownArchitecture, match=r"widths \(96, 192, 384, 768\), so of 768 dimensions"):
        FAMILY.infer(shapes)


def test_other_networks_are_left_to_other_families() -> None:
    for name in ("convnext_femto", "caformer_s18", "resnet18"):
        with torch.device("meta"):
            other = timm.create_model(name, pretrained=False)
        assert FAMILY.infer({key: tuple(tensor.shape) for key, tensor in other.state_dict().items()}) is None
