"""The networks: what begins how, what follows what, what stays fixed, and that every architecture takes right gradients."""

import math
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from slicebank_models.encoders.build import build_encoder
from slicebank_models.encoders.slice_encoder import SliceEncoder
from slicebank_models.encoders.vit_moco import sincos_positions
from slicebank_models.errors import BadPretrainingSetting, UnknownArchitecture
from slicebank_models.pretraining.contrastive import ContrastiveModel, build_contrastive, pretraining_card
from slicebank_models.pretraining.spec import ModelSettings
from tests.models.pretraining.small_networks import small_model, small_views


def small(architecture: str, **more: Any) -> ModelSettings:
    return ModelSettings(architecture, input_size=32, hidden_dim=16, projection_dim=8, **more)


def grey(slices: int, seed: int = 0) -> Tensor:
    return 255.0 * torch.rand(slices, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On networks so small, threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def built(architecture: str) -> ContrastiveModel:
    """For tests that leave it as it is."""
    return build_contrastive(small(architecture), 5)


@pytest.fixture
def femto() -> ContrastiveModel:
    return built("mambaout_femto")


def shortened(architecture: str) -> SliceEncoder:
    """With one block a stage, or two altogether, in float64 and evaluation mode; every kind of layer is there."""
    encoder = deepcopy(built(architecture).encoder).double().eval().requires_grad_()
    trunk: Any = encoder.trunk
    if architecture.startswith("vit"):
        trunk.blocks = trunk.blocks[:2]
    elif architecture.startswith(("mambaout", "vmamba")):
        for stage in trunk.stages if architecture.startswith("mambaout") else trunk.layers:
            parent = stage if isinstance(stage, nn.ModuleDict) else stage._modules
            parent["blocks"] = stage.get_submodule("blocks")[:1]
    return encoder


def layers(head: nn.Module) -> list[str]:
    return [
        f"{type(layer).__name__} {layer.in_features} {layer.out_features} {layer.bias is not None}"
        if isinstance(layer, nn.Linear)
        else f"{type(layer).__name__} {getattr(layer, 'affine', '')}".strip()
        for layer in head.children()
    ]


def test_heads_are_those_of_moco_v3(femto: ContrastiveModel) -> None:
    assert layers(femto.projector) == [
        "Linear 288 16 False", "BatchNorm1d True", "ReLU",
        "Linear 16 16 False", "BatchNorm1d True", "ReLU",
        "Linear 16 8 False", "BatchNorm1d False",
    ]  # fmt: skip
    assert layers(femto.predictor) == [
        "Linear 8 16 False", "BatchNorm1d True", "ReLU",
        "Linear 16 8 False", "BatchNorm1d False",
    ]  # fmt: skip
    assert layers(femto.momentum_projector) == layers(femto.projector)


def test_seeds_decide_all_weights_and_leave_the_generator_alone(femto: ContrastiveModel) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    same, other = (build_contrastive(small("mambaout_femto"), seed) for seed in (5, 6))
    assert torch.equal(torch.rand(2), wanted)
    for name, tensor in femto.state_dict().items():
        assert torch.equal(same.state_dict()[name], tensor)
    for name in ("encoder.trunk.stem.conv1.weight", "projector.0.weight", "predictor.0.weight"):
        assert not torch.equal(other.state_dict()[name], femto.state_dict()[name])


def test_momentum_networks_begin_as_copies_and_are_not_trained(femto: ContrastiveModel) -> None:
    assert femto.training
    for base, momentum in (
        (femto.encoder, femto.momentum_encoder),
        (femto.projector, femto.momentum_projector),
    ):
        for parameter, copy in zip(base.parameters(), momentum.parameters(), strict=True):
            assert torch.equal(parameter, copy)
            assert parameter is not copy
            assert parameter.requires_grad
            assert not copy.requires_grad


def test_momentum_moves_weights_by_the_average_and_leaves_running_statistics() -> None:
    model = small_model(norm=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    keys = model.keys(*small_views(8))
    assert not any(rows.requires_grad for rows in keys)
    after_keys = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    statistics = [name for name in before if "running" in name or "tracked" in name]
    moved = {name for name in before if not torch.equal(before[name], after_keys[name])}
    # Keys are normed by their own batch, in training mode, and only the momentum networks have seen it.
    assert moved == {name for name in statistics if name.startswith("momentum_")}
    model.update_momentum(0.75)
    for name, tensor in model.state_dict().items():
        base = name.removeprefix("momentum_")
        if base == name or name in statistics:
            assert torch.equal(tensor, after_keys[name])
        else:
            torch.testing.assert_close(tensor, 0.75 * before[name] + 0.25 * before[base], rtol=1e-13, atol=1e-15)


def test_keys_are_of_the_momentum_networks() -> None:
    model = small_model(norm=False)
    view1, view2 = small_views(3)
    keys1, keys2 = model.keys(view1, view2)
    torch.testing.assert_close(keys1, model.momentum_projector(model.momentum_encoder(view1)))
    torch.testing.assert_close(keys2, model.momentum_projector(model.momentum_encoder(view2)))
    queries1, queries2, features = model(view1, view2)
    torch.testing.assert_close(queries1, model.predictor(model.projector(model.encoder(view1))))
    torch.testing.assert_close(queries2, model.predictor(model.projector(model.encoder(view2))))
    torch.testing.assert_close(features, model.encoder(view1))
    assert not features.requires_grad


def test_a_plain_vits_patches_and_positions_stay_fixed_and_begin_as_published() -> None:
    model = built("vit_small")
    trunk: Any = model.encoder.trunk
    fixed = {name for name, parameter in trunk.named_parameters() if not parameter.requires_grad}
    assert fixed == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert torch.equal(trunk.pos_embed, sincos_positions(384, 2))
    patches, qkv = trunk.patch_embed.proj.weight, trunk.blocks[3].attn.qkv.weight
    for weights, bound in (
        (patches, math.sqrt(6 / (3 * 16 * 16 + 384))),
        (qkv, math.sqrt(6 / (384 + 384))),
        (trunk.blocks[3].mlp.fc1.weight, math.sqrt(6 / (384 + 1536))),
    ):
        assert 0.999 * bound < weights.abs().max() <= bound
        assert weights.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert not trunk.patch_embed.proj.bias.any()
    assert not trunk.blocks[0].attn.qkv.bias.any()
    assert 0 < trunk.cls_token.std() < 2e-6
    free = build_contrastive(small("vit_small"), 0, freeze_patch_embedding=False)
    assert all(p.requires_grad for name, p in free.encoder.trunk.named_parameters() if name != "pos_embed")


def test_a_convolutional_stem_is_trained() -> None:
    model = built("vit_conv_small")
    fixed = {name for name, p in model.encoder.trunk.named_parameters() if not p.requires_grad}
    assert fixed == {"pos_embed"}


def test_vmamba_begins_as_published() -> None:
    model = built("vmamba_tiny")
    assert all(parameter.requires_grad for parameter in model.encoder.parameters())
    trunk: Any = model.encoder.trunk
    operation = trunk.layers[2].blocks[4].op  # 384 channels, rank 24, 1 state
    # Of a normal distribution cut at 2, which is 100 sd here.
    assert operation.in_proj.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert 0.99 / math.sqrt(384) < operation.x_proj_weight.abs().max() <= 1 / math.sqrt(384)
    assert 0.99 / math.sqrt(24) < operation.dt_projs_weight.abs().max() <= 1 / math.sqrt(24)
    steps = nn.functional.softplus(operation.dt_projs_bias)
    assert 0.99e-3 < steps.min() < 1.1e-3
    assert 0.09 < steps.max() < 0.101
    # Log-uniform: the middle of the logarithms is the geometric mean.
    assert steps.log().mean().item() == pytest.approx(math.log(1e-2), abs=0.15)
    assert operation.Ds.eq(1).all()
    assert not trunk.layers[0].blocks[0].mlp.fc1.bias.any()


def test_mambaout_begins_as_timms() -> None:
    trunk = built("mambaout_femto").encoder.trunk
    weights = trunk.get_submodule("stages.2.blocks.3.fc1").weight
    assert isinstance(weights, Tensor)
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)


def test_training_begins_with_given_weights(tmp_path: Path, femto: ContrastiveModel) -> None:
    weights = {name: tensor + 0.5 for name, tensor in femto.encoder.weights().items()}
    path = tmp_path / "weights.safetensors"
    save_file(weights, path)
    model = build_contrastive(small("mambaout_femto", initial_weights=str(path)), 5)
    for name, tensor in weights.items():
        assert torch.equal(model.encoder.weights()[name], tensor)
        assert torch.equal(model.momentum_encoder.weights()[name], tensor)
    assert torch.equal(model.projector.state_dict()["0.weight"], femto.projector.state_dict()["0.weight"])
    with pytest.raises(BadPretrainingSetting, match=r"model.initial_weights: .*missing"):
        build_contrastive(small("mambaout_kobe", initial_weights=str(path)), 5)
    with pytest.raises(BadPretrainingSetting, match=r"there is no file 'none\.safetensors'"):
        build_contrastive(small("mambaout_femto", initial_weights=str(tmp_path / "none.safetensors")), 5)


@pytest.mark.parametrize("architecture", ["hu_statistics", "merlin", "dummy"])
def test_what_cannot_be_trained_on_slices_is_refused(architecture: str) -> None:
    with pytest.raises(BadPretrainingSetting, match=rf"model.architecture: {architecture}"):
        build_contrastive(small(architecture), 0)


def test_unknown_architectures_are_refused() -> None:
    with pytest.raises(UnknownArchitecture):
        build_contrastive(small("resnet_of_nobody"), 0)


def test_hidden_layers_of_classifiers_are_fixed() -> None:
    model = build_contrastive(small("timm:mobilenetv3_small_050"), 0)
    fixed = {name for name, p in model.encoder.trunk.named_parameters() if not p.requires_grad}
    assert fixed == {"conv_head.weight", "conv_head.bias"}


ARCHITECTURES = ("mambaout_femto", "vit_small", "vit_conv_small", "vmamba_tiny", "timm:convnext_atto")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_are_the_slopes_of_the_features(architecture: str) -> None:
    """Along one direction in the space of all weights, by central differences."""
    encoder = shortened(architecture)
    rows = grey(2).double()
    weights = list(encoder.parameters())
    generator = torch.Generator().manual_seed(4)
    wanted = torch.randn(2, encoder.dim, generator=generator, dtype=torch.float64)
    directions = [torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.01 for p in weights]
    gradients = torch.autograd.grad((encoder(rows) * wanted).sum(), weights)
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    step = 1e-6
    values = []
    with torch.no_grad():
        for move in (step, -2 * step):
            torch._foreach_add_(weights, directions, alpha=move)
            values.append(float((encoder(rows) * wanted).sum()))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_mambaouts_own_forward_pass_has_the_gradients_of_timms() -> None:
    """The pass here multiplies the gate in place; timm's does not."""
    encoder = shortened("mambaout_femto")
    trunk: Any = encoder.trunk
    rows = grey(1).double()
    ours = torch.autograd.grad(encoder(rows).square().sum(), list(trunk.parameters()))
    images = encoder.get_submodule("channels")(rows)
    theirs = trunk.head.norm(trunk.forward_features(images).mean(dim=(1, 2)))
    wanted = torch.autograd.grad(theirs.square().sum(), list(trunk.parameters()))
    for found, gradient in zip(ours, wanted, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12)


def test_the_trained_encoder_gives_the_features_of_the_frozen_one() -> None:
    model = built("vit_conv_small")
    frozen = build_encoder(pretraining_card(small("vit_conv_small")))
    frozen.set_weights(model.encoder.weights())
    rows = grey(1).round()
    trained = deepcopy(model.encoder).eval()
    torch.testing.assert_close(trained(rows).detach(), frozen(rows.to(torch.uint8)))
