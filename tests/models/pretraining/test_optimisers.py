"""LARS against loops over numbers, and what decays."""

import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from slicebank_models.encoders.build import family_of
from slicebank_models.pretraining.contrastive import pretraining_card
from slicebank_models.pretraining.optimisers import LARS, build_optimiser, set_learning_rate
from slicebank_models.pretraining.spec import ModelSettings, Optimiser, OptimiserSettings


def slow_lars(weights: list[float], gradients: list[list[float]], *, vector: bool) -> list[float]:
    """Plain momentum for vectors; for matrices decayed and scaled to trust * |w| first. lr 0.5, decay 0.1."""
    moved = [0.0] * len(weights)
    for gradient in gradients:
        update = list(gradient)
        if not vector:
            update = [g + 0.1 * w for g, w in zip(update, weights, strict=True)]
            length, size = math.hypot(*update), math.hypot(*weights)
            scale = 0.001 * size / length if size > 0 and length > 0 else 1.0
            update = [scale * u for u in update]
        moved = [0.9 * m + u for m, u in zip(moved, update, strict=True)]
        weights = [w - 0.5 * m for w, m in zip(weights, moved, strict=True)]
    return weights


@pytest.mark.parametrize("case", ["matrix", "vector", "zero matrix", "no gradient"])
def test_lars_moves_as_the_loops_do(case: str) -> None:
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(6, generator=generator, dtype=torch.float64)
    gradients = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    start = start * 0 if case == "zero matrix" else start
    gradients = gradients * 0 if case == "no gradient" else gradients
    vector = case == "vector"
    parameter = nn.Parameter((start if vector else start.view(2, 3)).clone())
    optimiser = LARS([parameter], 0.5, weight_decay=0.1)
    for gradient in gradients:
        parameter.grad = gradient.view_as(parameter).clone()
        optimiser.step()
    wanted = torch.tensor(slow_lars(start.tolist(), gradients.tolist(), vector=vector), dtype=torch.float64)
    torch.testing.assert_close(parameter.detach().flatten(), wanted, rtol=1e-12, atol=1e-14)


def test_lars_goes_on_from_its_state_and_leaves_what_has_no_gradient() -> None:
    def fresh() -> tuple[nn.Linear, LARS]:
        layer = nn.Linear(3, 2)
        nn.init.constant_(layer.weight, 0.5)
        nn.init.zeros_(layer.bias)
        return layer, LARS(layer.parameters(), 0.1, weight_decay=0.1)

    def step(layer: nn.Linear, optimiser: LARS) -> None:
        layer.weight.grad = torch.ones_like(layer.weight)
        optimiser.step()

    (layer, optimiser), (other, resumed) = fresh(), fresh()
    step(layer, optimiser)
    other.load_state_dict(layer.state_dict())
    resumed.load_state_dict(deepcopy(optimiser.state_dict()))
    step(layer, optimiser)
    step(other, resumed)
    assert torch.equal(layer.weight, other.weight)
    assert not layer.bias.any()


def decays_of(model: nn.Module, settings: OptimiserSettings) -> dict[str, float]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups: list[dict[str, Any]] = build_optimiser(model, settings).param_groups
    return {names[p]: group["weight_decay"] for group in groups for p in group["params"]}


@pytest.mark.parametrize("name", list(Optimiser))
def test_vectors_positions_and_tokens_do_not_decay(name: Optimiser) -> None:
    encoder = family_of("vit_small").build(pretraining_card(ModelSettings("vit_small", input_size=32)))
    decays = decays_of(encoder, OptimiserSettings(name=name, weight_decay=0.3))
    assert "trunk.pos_embed" not in decays  # fixed
    assert decays["trunk.cls_token"] == 0.0
    assert decays["trunk.blocks.0.attn.qkv.weight"] == 0.3
    assert decays["trunk.patch_embed.proj.weight"] == 0.3
    for parameter_name, parameter in encoder.named_parameters():
        if parameter.ndim == 1:
            assert decays[parameter_name] == 0.0
    trained = [n for n, p in encoder.named_parameters() if p.requires_grad]
    assert sorted(decays) == sorted(trained)


def test_rates_of_state_space_models_do_not_decay() -> None:
    with torch.device("meta"):
        encoder = family_of("vmamba_tiny").build(pretraining_card(ModelSettings("vmamba_tiny", input_size=32)))
    decays = decays_of(encoder, OptimiserSettings(weight_decay=0.3))
    block = "trunk.layers.0.blocks.0.op."
    assert [decays[block + leaf] for leaf in ("A_logs", "Ds", "dt_projs_bias")] == [0.0, 0.0, 0.0]
    assert [decays[block + leaf] for leaf in ("in_proj.weight", "x_proj_weight", "conv2d.weight")] == [0.3, 0.3, 0.3]


def test_the_rate_is_that_of_the_batch_and_can_be_set() -> None:
    layer = nn.Linear(3, 2)
    for name, kind in ((Optimiser.ADAMW, torch.optim.AdamW), (Optimiser.LARS, LARS)):
        optimiser = build_optimiser(layer, OptimiserSettings(name=name, lr=0.5, batch_size=512))
        assert type(optimiser) is kind
        assert [group["lr"] for group in optimiser.param_groups] == [1.0, 1.0]
        set_learning_rate(optimiser, 0.25)
        assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25]
