"""VMamba against the official code's numbers: features, maps layer by layer, and gradients of the scan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, draft_card
from slicebank_models.encoders.build import build_encoder
from slicebank_models.encoders.vmamba import LAYOUTS, SelectiveScan2d, VMambaEncoder
from slicebank_models.loading import install_encoder, load_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_models.scan import ScanForm, selective_scan
from slicebank_models.scan.ordered import installed
from tests.models.parity.formula import parity_rows
from tests.models.parity.goldens import MOST_ERROR, Golden, read_golden, relative_error
from tests.models.parity.vmamba_weights import block_input, override, scan_inputs, summary

ALWAYS = ("vmamba_default", "vmamba_tiny")
ARCHITECTURES = [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in LAYOUTS]


def encoder_of(golden: Golden, architecture: str, size: int) -> VMambaEncoder:
    card = replace(draft_card("under-test", architecture, licence="none"), input_size=size)
    encoder = build_encoder(card)
    assert isinstance(encoder, VMambaEncoder)
    state = golden.state(override=override)
    encoder.set_weights({name: tensor for name, tensor in state.items() if ".head." not in name})
    return encoder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_official_checkpoint_gives_the_official_features(architecture: str, tmp_path: Path) -> None:
    golden = read_golden(architecture)
    state = golden.state(override=override)
    checkpoint = tmp_path / "ckpt_epoch_1.pth"
    torch.save({"model": state, "max_accuracy": 82.6, "epoch": 1}, checkpoint)
    registry = EncoderRegistry(tmp_path / "encoders")
    card = draft_card("under-test", architecture, licence="none", mean=IMAGENET_MEAN, std=IMAGENET_STD)
    complete, report = install_encoder(registry, card, checkpoint)
    assert {entry.key for entry in report.dropped} == {"classifier.head.weight", "classifier.head.bias"}
    assert len(report.mapped) + 2 == len(state)
    encoder = load_encoder(complete, registry.folder)
    with torch.inference_mode():
        features = encoder(parity_rows(224))
    assert relative_error(features, golden.features) <= MOST_ERROR


@pytest.mark.parametrize("size", [64, pytest.param(224, marks=pytest.mark.slow)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_layer_gives_the_official_map(architecture: str, size: int) -> None:
    golden = read_golden(architecture)
    encoder = encoder_of(golden, architecture, size)
    errors: dict[str, float] = {}
    with torch.inference_mode():
        for name, tokens in encoder.trunk.steps(encoder.channels(parity_rows(size))):
            errors[name] = relative_error(summary(tokens), golden.parts[f"{size}.{name}"])
    recorded = {name.partition(".")[2] for name in golden.parts if name.startswith(f"{size}.")} - {"features"}
    assert set(errors) == recorded
    assert len(errors) == 1 + sum(LAYOUTS[architecture].depths) + 3 + 1
    assert {name: error for name, error in errors.items() if error > MOST_ERROR} == {}
    if size == 64:
        assert relative_error(tokens.mean(dim=(1, 2)), golden.parts["64.features"]) <= MOST_ERROR


@pytest.mark.parametrize("form", [ScanForm.CHUNKED, *([ScanForm.COMPILED] if installed("numba") else [])])
def test_the_scan_and_its_gradients_are_those_of_the_official_torch_scan(form: ScanForm) -> None:
    golden = read_golden("vmamba_gradients")
    arguments = scan_inputs()
    dy = arguments.pop("dy")
    leaves = {name: tensor.requires_grad_() for name, tensor in arguments.items()}
    y = selective_scan(*leaves.values(), form=form)
    assert relative_error(y.detach(), golden.features) <= MOST_ERROR
    gradients = torch.autograd.grad(y, list(leaves.values()), dy)
    for name, gradient in zip(leaves, gradients, strict=True):
        assert relative_error(gradient, golden.parts[f"scan.d_{name}"]) <= MOST_ERROR, name


def test_a_gated_block_and_its_gradients_are_those_of_the_official_ss2d() -> None:
    golden = read_golden("vmamba_gradients")
    op = SelectiveScan2d(16, LAYOUTS["vmamba_default"])
    op.load_state_dict(golden.state(override=override))
    x, dy = block_input()
    y = op(x.requires_grad_())
    assert relative_error(y.detach(), golden.parts["ss2d.y"]) <= MOST_ERROR
    named: dict[str, Tensor] = {"x": x, **dict(op.named_parameters())}
    assert {f"ss2d.d_{name}" for name in named} == {name for name in golden.parts if name.startswith("ss2d.d_")}
    gradients = torch.autograd.grad(y, list(named.values()), dy)
    for name, gradient in zip(named, gradients, strict=True):
        assert relative_error(gradient, golden.parts[f"ss2d.d_{name}"]) <= MOST_ERROR, name
