from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slicebank_models.builtin.vmamba import CARDS
from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, draft_card
from slicebank_models.encoders.contrastive_keys import head_reason
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.encoders.seeding import seeded_weights
from slicebank_models.encoders.vmamba import FAMILY, LAYOUTS, VSSM, VMambaEncoder
from slicebank_models.errors import CheckpointMismatch
from slicebank_models.loading import install_encoder
from slicebank_models.registry import EncoderRegistry
from tests.models.parity.formula import parity_rows
from tests.models.parity.goldens import read_golden

GREY = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def shapes_of(architecture: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in VSSM(LAYOUTS[architecture]).state_dict().items()}


@pytest.fixture(scope="module")
def encoder() -> VMambaEncoder:
    built = VMambaEncoder("vmamba_tiny", input_size=64, **GREY).eval().requires_grad_(False)
    built.set_weights(seeded_weights(0, built.weights(), built.fixed_tensors))
    return built


def test_the_default_has_as_many_parameters_as_the_published_codes_default() -> None:
    counts = {name: sum(map(math.prod, shapes_of(name).values())) for name in LAYOUTS}
    assert counts["vmamba_default"] == 42_953_376
    assert {card.architecture: card.parameters for card in CARDS}.items() <= counts.items()
    notes = next(card.notes for card in CARDS if card.architecture == "vmamba_default")
    assert "42,953,376" in notes
    assert "36 M" in notes


@pytest.mark.parametrize("architecture", LAYOUTS)
def test_names_and_shapes_are_the_official_ones(architecture: str) -> None:
    golden = read_golden(architecture)
    official = {name: shape for name, shape, _ in golden.parameters if ".head." not in name}
    assert shapes_of(architecture) == official


def test_every_norm_has_the_epsilon_of_the_published_code(encoder: VMambaEncoder) -> None:
    """The published code takes torch's own default. Features hardly show it: 1e-6 would change them by 3e-5."""
    norms = [module.eps for module in encoder.modules() if isinstance(module, nn.LayerNorm)]
    assert set(norms) == {1e-5}
    assert len(norms) == 2 + 3 * sum(LAYOUTS["vmamba_tiny"].depths) + 3 + 1


@pytest.mark.parametrize("architecture", LAYOUTS)
def test_the_architecture_is_told_from_a_files_shapes(architecture: str) -> None:
    shapes = shapes_of(architecture)
    assert FAMILY.infer({**shapes, "classifier.head.weight": (1000, 768)}) == architecture
    old = {older(name): (*shape, 1, 1) if name.endswith("_proj.weight") else shape for name, shape in shapes.items()}
    assert FAMILY.infer(old) == architecture
    first = "layers.0.blocks.1.op.A_logs"
    assert FAMILY.infer({name: shape for name, shape in shapes.items() if name != first}) is None
    assert FAMILY.infer({"blocks.0.attn.qkv.weight": (3, 1)}) is None


def older(name: str) -> str:
    """The name that the first versions of the published code gave."""
    name = name.replace("patch_embed.0.", "patch_embed.proj.").replace("patch_embed.2.", "patch_embed.norm.")
    name = name.replace(".norm.", ".ln_1.") if ".blocks." in name and ".op." not in name else name
    return name.replace(".op.", ".self_attention.").replace("classifier.norm.", "norm.")


def checkpoint(encoder: VMambaEncoder, folder: Path, tensors: dict[str, Tensor]) -> Path:
    path = folder / "ckpt.pth"
    torch.save({"model": {**tensors, "head.weight": torch.zeros(3, encoder.dim), "head.bias": torch.zeros(3)}}, path)
    return path


def test_older_names_and_linear_layers_stored_as_convolutions_are_read(encoder: VMambaEncoder, tmp_path: Path) -> None:
    weights = encoder.weights()
    lines = (".in_proj.weight", ".out_proj.weight", ".fc1.weight", ".fc2.weight")
    old = {
        older(name): tensor[:, :, None, None] if name.endswith(lines) else tensor for name, tensor in weights.items()
    }
    path = checkpoint(encoder, tmp_path, old)
    registry = EncoderRegistry(tmp_path / "encoders")
    card, report = install_encoder(registry, draft_card("mine", "vmamba_tiny", licence="none"), path)
    assert card.weights_digest == next(own.weights_digest for own in CARDS if own.architecture == "vmamba_tiny")
    assert {entry.key for entry in report.dropped} == {"head.weight", "head.bias"}


def test_other_shapes_of_as_many_numbers_are_refused_elsewhere(encoder: VMambaEncoder, tmp_path: Path) -> None:
    weights = dict(encoder.weights())
    weights["layers.0.blocks.0.op.A_logs"] = weights["layers.0.blocks.0.op.A_logs"].flatten()
    with pytest.raises(CheckpointMismatch, match="A_logs"):
        install_encoder(
            EncoderRegistry(tmp_path / "encoders"),
            draft_card("mine", "vmamba_tiny", licence="none"),
            checkpoint(encoder, tmp_path, weights),
        )


def test_projectors_are_left_out() -> None:
    rule = FAMILY.key_rules("vmamba_default", frozenset())
    for key in ("classifier.head.0.weight", "head.1.running_mean"):
        assert rule(key) == DroppedKey(key, head_reason("head.0.weight"))
    assert rule("classifier.head.weight") == DroppedKey("classifier.head.weight", "classifier head")
    assert rule("something.else") == "something.else"


def test_only_the_linear_layers_of_blocks_are_lowered() -> None:
    built = VMambaEncoder("vmamba_tiny", input_size=32, **GREY).eval()
    built.lower(torch.bfloat16)
    lowered = {name for name, tensor in built.weights().items() if tensor.dtype == torch.bfloat16}
    ends = (
        "op.in_proj.weight",
        "op.out_proj.weight",
        "mlp.fc1.weight",
        "mlp.fc1.bias",
        "mlp.fc2.weight",
        "mlp.fc2.bias",
    )
    assert lowered == {name for name in built.weights() if name.endswith(ends)}
    with torch.inference_mode():
        assert built(parity_rows(32)).dtype == torch.float32


def test_untrained_rates_and_steps_are_those_of_the_papers_initialisation(encoder: VMambaEncoder) -> None:
    weights = VMambaEncoder("vmamba_default", input_size=32, **GREY).weights()
    rates = -torch.exp(weights["layers.1.blocks.0.op.A_logs"])
    torch.testing.assert_close(rates, -torch.arange(1.0, 17.0).expand(4 * 384, 16))
    steps = nn.functional.softplus(weights["layers.1.blocks.0.op.dt_projs_bias"])
    assert 1e-3 < steps.min() < 1.02e-3
    assert 0.098 < steps.max() < 0.1
    fixed = encoder.fixed_tensors & set(encoder.weights())
    assert len(fixed) == 2 * sum(LAYOUTS["vmamba_tiny"].depths)


def test_it_can_be_trained() -> None:
    """Every tensor gets a gradient through the scan's own backward pass."""
    torch.manual_seed(0)
    # 64 pixels leave 2 x 2 tokens in the last stage; rates have no say in a line of one.
    built = VMambaEncoder("vmamba_tiny_s2l5", input_size=64, **GREY).train()
    for name, parameter in built.trunk.named_parameters():
        if not name.endswith(("A_logs", "dt_projs_bias", "Ds")):
            nn.init.normal_(parameter, std=0.05)
    built(parity_rows(64, 1)).square().sum().backward()
    without = [name for name, own in built.trunk.named_parameters() if own.grad is None or not own.grad.any()]
    assert without == []
