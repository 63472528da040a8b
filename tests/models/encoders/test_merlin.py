from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torchvision
from torch import Tensor

from slicebank_models.builtin.merlin import CARDS, VOLUME
from slicebank_models.encoders.build import build_encoder
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.encoders.merlin import FAMILY, Bottleneck, InflatedResNet, MerlinEncoder
from slicebank_models.errors import BadCard
from tests.models.parity.formula import parity_volumes
from tests.models.parity.goldens import read_golden

PAPER_PARAMETERS = 122e6  # Table 1
SMALL = replace(VOLUME, size=(48, 40, 8))


def flat_network(state: dict[str, Tensor]) -> torchvision.models.ResNet:
    """ResNet-152 of images under the centre planes of our weights."""
    network = torchvision.models.resnet152(weights=None)
    network.fc = torch.nn.Identity()
    flat = {name: tensor[:, :, tensor.shape[2] // 2] if tensor.ndim == 5 else tensor for name, tensor in state.items()}
    network.load_state_dict({name: tensor for name, tensor in flat.items() if "contrastive_head" not in name})
    return network.eval()


def test_a_volume_that_is_the_same_in_all_planes_is_an_image_to_centred_weights() -> None:
    torch.manual_seed(0)
    encoder = MerlinEncoder(SMALL).eval().requires_grad_(False)
    state = encoder.trunk.state_dict()
    for tensor in state.values():
        if tensor.ndim == 5 and tensor.shape[2] == 3:
            tensor[:, :, 0] = tensor[:, :, 2] = 0  # as inflation leaves it
    image = parity_volumes(SMALL.size, 0.0, 1.0, count=1)[0, :, :, :1]
    with torch.inference_mode():
        pooled = flat_network(state)(image.permute(2, 0, 1).expand(1, 3, -1, -1))
        expected = pooled @ state["contrastive_head.weight"].flatten(1).T + state["contrastive_head.bias"]
        features = encoder(image.expand(SMALL.size)[None])
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


def test_122_million_parameters_are_the_image_encoder_with_its_classifier() -> None:
    with torch.device("meta"):
        trunk = InflatedResNet()
    own = sum(parameter.numel() for parameter in trunk.parameters())
    classifier = 1692 * 2048 + 1692
    assert own == 118_415_296
    assert own + classifier == 121_882_204
    assert abs(own + classifier - PAPER_PARAMETERS) < 0.5e6
    statistics = sum(tensor.numel() for name, tensor in trunk.state_dict().items() if "running" in name)
    assert CARDS[0].parameters == own + statistics


def test_its_tensors_are_the_official_ones_by_name_and_shape() -> None:
    with torch.device("meta"):
        encoder = build_encoder(CARDS[0])
    rule = FAMILY.key_rules("merlin", frozenset())
    official = {
        name: shape
        for key, shape, _ in read_golden("merlin").parameters
        if isinstance(name := rule(key), str) and "num_batches_tracked" not in name
    }
    assert {name: tuple(tensor.shape) for name, tensor in encoder.weights().items()} == official


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("encode_text.text_encoder.pooler.dense.weight", "text encoder"),
        ("logit_scale", "temperature of the contrastive training"),
        ("encode_image.i3_resnet.classifier.weight", "classifier of phenotypes or diseases"),
        ("classifier.bias", "classifier of phenotypes or diseases"),
    ],
)
def test_what_is_no_part_of_the_encoder_is_dropped_for_a_reason(key: str, reason: str) -> None:
    assert FAMILY.key_rules("merlin", frozenset())(key) == DroppedKey(key, reason)


@pytest.mark.parametrize("prefix", ["encode_image.i3_resnet.", "i3_resnet.", ""])
def test_files_of_the_encoder_are_recognised(prefix: str) -> None:
    shapes = {
        f"{prefix}conv1.weight": (64, 3, 3, 7, 7),
        f"{prefix}contrastive_head.weight": (512, 2048, 1, 1, 1),
        "encode_text.linear_layer.weight": (512, 768),
    }
    assert FAMILY.infer(shapes) == "merlin"
    assert FAMILY.infer({**shapes, f"{prefix}conv1.weight": (64, 3, 7, 7)}) is None
    assert FAMILY.key_rules("merlin", frozenset())(f"{prefix}layer1.0.bn1.bias") == "layer1.0.bn1.bias"


def test_only_the_convolutions_of_blocks_are_lowered() -> None:
    with torch.device("meta"):
        encoder = build_encoder(CARDS[1])
    encoder.lower(torch.bfloat16)
    lowered = {name for name, tensor in encoder.weights().items() if tensor.dtype == torch.bfloat16}
    named = encoder.weights()
    assert lowered == {
        name
        for name in named
        if name.startswith("layer") and name.endswith(("1.weight", "2.weight", "3.weight")) and named[name].ndim == 5
    }
    assert len(lowered) == 3 * 50


def test_every_stage_but_the_first_halves_all_axes() -> None:
    with torch.device("meta"):
        trunk = InflatedResNet()
        sides = []
        x = torch.empty(1, 64, 80, 56, 56)
        for layer in trunk.layers():
            x = layer(x)
            sides.append(tuple(x.shape[2:]))
    assert sides[0] == (80, 56, 56)
    assert all(after == tuple(side // 2 for side in before) for before, after in pairwise(sides))
    assert x.shape[1] == 512 * 4


def test_a_block_adds_its_branch_to_what_came_in() -> None:
    block = Bottleneck(256, 64, 1).eval().requires_grad_(False)
    x = torch.rand(1, 256, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(block.bn3.weight)
    assert torch.equal(block(x.clone()), x)


def test_a_card_without_a_volume_is_refused() -> None:
    bad = replace(CARDS[0], id="bad")
    object.__setattr__(bad, "volume", None)
    with pytest.raises(BadCard, match="needs a volume"):
        build_encoder(bad)
