import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from slicebank_models.builtin.ct_fm import CARDS, VOLUME
from slicebank_models.encoders.build import build_encoder
from slicebank_models.encoders.ct_fm import FAMILY, CtFmEncoder, ResidualBlock, SegResEncoder, foreground, tiled
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.errors import BadCard
from tests.models.parity.formula import parity_state, parity_volumes
from tests.models.parity.goldens import read_golden

PUBLISHED_PARAMETERS = 77e6  # README of the official repository


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def encoder() -> CtFmEncoder:
    made = CtFmEncoder(replace(VOLUME, size=(24, 40, 32)))
    made.trunk.load_state_dict(parity_state(made.trunk.state_dict()))
    return made.eval().requires_grad_(False)


def test_what_fills_a_row_changes_nothing(encoder: CtFmEncoder) -> None:
    scan = parity_volumes((17, 33, 30), 0.05, 1.0, count=1)
    filled = torch.zeros(2, 24, 40, 32)
    filled[0, 3:20, 7:40, :30] = scan[0]
    filled[1, 7:24, :33, 2:] = scan[0]
    with torch.inference_mode():
        expected, found = encoder(scan), encoder(filled)
    torch.testing.assert_close(found, expected.expand(2, -1), rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        assert not torch.allclose(encoder.trunk(filled[:1, None]).mean(dim=(2, 3, 4)), expected, rtol=1e-2)


def test_the_box_reaches_from_the_first_to_the_last_value_above_0() -> None:
    volume = torch.full((5, 6, 7), -0.5)
    volume[1, 2, 3] = volume[3, 4, 3] = 1e-6
    assert foreground(volume).shape == (3, 3, 1)
    assert torch.equal(foreground(volume), volume[1:4, 2:5, 3:4])


def test_a_volume_of_air_stays_whole(encoder: CtFmEncoder) -> None:
    air = torch.zeros(1, 24, 40, 32)
    assert foreground(air[0]).shape == (24, 40, 32)
    with torch.inference_mode():
        assert torch.isfinite(encoder(air)).all()


@pytest.mark.parametrize(("stride", "depth"), [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("shape", [(16, 16, 16), (9, 21, 13), (3, 40, 7)])
def test_cubes_give_what_the_whole_gives(shape: tuple[int, int, int], stride: int, depth: int) -> None:
    torch.manual_seed(0)
    kept = [nn.Conv3d(2, 2, 3, padding=1) for _ in range(depth)]
    layers = nn.Sequential(*kept, nn.Conv3d(2, 3, 3, stride=stride, padding=1)).double().requires_grad_(False)
    x = noise(1, 2, *shape).double()
    expected = layers(x)
    found = tiled(layers, x, tile=4, reach=depth + 1, stride=stride)
    assert found.shape[2:] == tuple(math.ceil(side / stride) for side in shape)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_cubes_without_a_rim_would_differ() -> None:
    torch.manual_seed(0)
    layers = nn.Conv3d(1, 1, 3, padding=1).requires_grad_(False)
    x = noise(1, 1, 8, 8, 8)
    assert not torch.allclose(tiled(layers, x, tile=4, reach=0, stride=1), layers(x))


def test_nothing_cannot_be_tiled() -> None:
    with pytest.raises(ValueError, match="without voxels"):
        tiled(lambda x: x, torch.zeros(1, 1, 0, 4, 4), tile=4, reach=1, stride=1)


def test_large_levels_are_worked_through_in_cubes(encoder: CtFmEncoder) -> None:
    in_cubes = SegResEncoder(largest_tensor=0, tile=16).eval().requires_grad_(False)
    in_cubes.load_state_dict(encoder.trunk.state_dict())
    x = parity_volumes((18, 35, 27), 0.0, 1.0, count=1)[:, None]
    seen: list[tuple[int, ...]] = []
    in_cubes.conv_init.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[2:])))
    with torch.inference_mode():
        expected, found = encoder.trunk(x), in_cubes(x)
    assert len(seen) == 2 * 3 * 2
    assert max(max(sides) for sides in seen) <= 16 + 4 + 4
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_block_adds_two_normed_convolutions_to_what_came_in() -> None:
    block = ResidualBlock(4).eval().requires_grad_(False)
    block.load_state_dict(parity_state(block.state_dict()))
    x = noise(2, 4, 5, 6, 7) - 0.5

    def branch(values: Tensor, norm: nn.Module, convolution: nn.Module) -> Tensor:
        mean, var, scale, shift = (
            getattr(norm, name).view(1, -1, 1, 1, 1) for name in ("running_mean", "running_var", "weight", "bias")
        )
        normed = (values - mean) / (var + 1e-5).sqrt() * scale + shift
        return nn.functional.conv3d(normed.clamp_min(0), convolution.weight, padding=1)  # type: ignore[arg-type]

    expected = x + branch(branch(x, block.norm1, block.conv1), block.norm2, block.conv2)
    torch.testing.assert_close(block(x), expected)


def test_parameters_and_tensors_are_the_published_ones() -> None:
    with torch.device("meta"):
        made = build_encoder(CARDS[0])
    assert abs(sum(parameter.numel() for parameter in made.parameters()) - PUBLISHED_PARAMETERS) < 1e6
    official = {name: shape for name, shape, _ in read_golden("ct_fm").parameters if "num_batches_tracked" not in name}
    assert {name: tuple(tensor.shape) for name, tensor in made.weights().items()} == official


def test_files_with_the_decoder_lose_it() -> None:
    rule = FAMILY.key_rules("ct_fm", frozenset())
    assert rule("encoder.layers.1.downsample.weight") == "layers.1.downsample.weight"
    dropped = rule("up_layers.0.upsample.deconv.weight")
    assert dropped == DroppedKey("up_layers.0.upsample.deconv.weight", "decoder of the segmentation network")


@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_files_of_the_encoder_are_recognised(prefix: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}conv_init.weight": (32, 1, 3, 3, 3),
        f"{prefix}layers.4.blocks.3.conv2.weight": (512, 512, 3, 3, 3),
    }
    assert FAMILY.infer(shapes) == "ct_fm"
    assert FAMILY.infer({**shapes, f"{prefix}conv_init.weight": (48, 1, 3, 3, 3)}) is None


def test_only_the_convolutions_of_blocks_are_lowered() -> None:
    with torch.device("meta"):
        made = build_encoder(CARDS[1])
    made.lower(torch.bfloat16)
    named = made.weights()
    lowered = {name for name, tensor in named.items() if tensor.dtype == torch.bfloat16}
    assert lowered == {name for name in named if ".conv" in name}
    assert len(lowered) == 2 * 13


def test_a_card_without_a_volume_is_refused() -> None:
    bad = replace(CARDS[0], id="bad")
    object.__setattr__(bad, "volume", None)
    with pytest.raises(BadCard, match="needs a volume"):
        build_encoder(bad)
