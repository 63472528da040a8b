from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.builtin.ct_clip import CARDS
from slicebank_models.encoders.build import family_of
from slicebank_models.encoders.ct_clip import FAMILY, CTClipEncoder
from slicebank_models.encoders.ct_vit import DistanceBias, PositionConvolution, Quantiser
from slicebank_models.encoders.family import DroppedKey
from slicebank_models.encoders.seeding import seeded_uniform
from slicebank_models.errors import BadCard
from slicebank_models.loading import load_encoder

PUBLISHED, UNTRAINED = CARDS


def numbers(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(seeded_uniform(1, name, shape, 1.0))


@pytest.fixture(scope="module")
def encoder() -> CTClipEncoder:
    loaded = load_encoder(UNTRAINED)
    assert isinstance(loaded, CTClipEncoder)
    return loaded


def test_the_parameters_are_those_that_the_card_explains() -> None:
    with torch.device("meta"):
        trunk = FAMILY.build(PUBLISHED).trunk
    used = sum(tensor.numel() for tensor in trunk.state_dict().values())
    buffers = sum(tensor.numel() for tensor in trunk.buffers())
    assert used == PUBLISHED.parameters == 178_616_136
    assert trunk.get_submodule("to_visual_latent").weight.numel() == 150_994_944
    # What the original has beside: decoder, first-frame embedding, unused norms, the second projection, texts, temperature.
    voxels, dim = 20 * 20, 512
    unused = (
        dim * 10 * voxels + 10 * voxels + dim * voxels + voxels,  # both decoders
        2 * voxels + voxels * dim + dim + 2 * dim,  # first frame
        8 * dim,  # scales of the norms of contexts
        150_994_944 + 2 * 768 * dim + 1,  # second projection, projections of texts, temperature
    )
    assert used - buffers + sum(sum(part) if isinstance(part, tuple) else part for part in unused) == 328_666_521


def test_features_are_unit_vectors_of_the_whole_volume(encoder: CTClipEncoder) -> None:
    volumes = numbers("volumes", 2, *encoder.row_shape)
    with torch.inference_mode():
        features = encoder(volumes)
        turned = encoder(volumes.transpose(2, 3).contiguous())
        reversed_ = encoder(volumes.flip(1))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    assert (features[0] - features[1]).norm() > 0.1
    assert (features - turned).norm() > 0.1
    assert (features - reversed_).norm() > 0.1


def test_codes_are_compared_by_direction_and_given_as_stored() -> None:
    quantiser = Quantiser()
    codes = numbers("codes", 1, 8192, 512) * torch.linspace(0.1, 3.0, 8192).view(1, -1, 1)
    quantiser.get_submodule("_codebook").embed.copy_(codes)  # type: ignore[operator, union-attr]
    tokens = numbers("tokens", 5, 512)
    nearest = [
        max(range(8192), key=lambda code: float(F.cosine_similarity(token, codes[0, code], dim=0)))
        for token in tokens[:1]
    ]
    found = quantiser(tokens)
    assert torch.equal(found[0], codes[0, nearest[0]])
    assert torch.equal(quantiser(100 * tokens), found)


def test_distances_make_the_bias() -> None:
    torch.manual_seed(0)
    bias = DistanceBias()
    found = bias(3, 4)
    for first, second in ((0, 11), (5, 2), (7, 7)):
        step = torch.tensor([first // 4 - second // 4, first % 4 - second % 4], dtype=torch.float32)
        values = step.sign() * step.abs().log1p()
        for layer in bias.net:
            values = layer(values)
        torch.testing.assert_close(found[:, first, second], values)


def test_positions_see_no_later_frame() -> None:
    torch.manual_seed(0)
    convolution = PositionConvolution()
    tokens = numbers("tokens", 4, 6, 512)
    changed = tokens.clone()
    changed[2] += 1.0
    with torch.inference_mode():
        before, after = convolution(tokens, (4, 2, 3)), convolution(changed, (4, 2, 3))
    assert torch.equal(before[:2], after[:2])
    assert not torch.equal(before[2:], after[2:])


def test_only_the_projection_is_lowered(encoder: CTClipEncoder) -> None:
    lowered = FAMILY.build(UNTRAINED).eval()
    lowered.set_weights(encoder.weights())
    lowered.lower(torch.bfloat16)
    halved = {name for name, tensor in lowered.weights().items() if tensor.dtype == torch.bfloat16}
    assert halved == {"to_visual_latent.weight"}


@pytest.mark.parametrize("size", [(64, 120, 120), (60, 120, 130)])
def test_sizes_that_do_not_cut_into_patches_are_refused(size: tuple[int, int, int]) -> None:
    assert UNTRAINED.volume is not None
    card = replace(UNTRAINED, volume=replace(UNTRAINED.volume, size=size))
    with pytest.raises(BadCard, match="tens"):
        FAMILY.build(card)


def test_fine_tuned_classifiers_are_read_too() -> None:
    rule = FAMILY.key_rules("ct_clip", frozenset())
    assert rule("trained_model.to_visual_latent.weight") == "to_visual_latent.weight"
    assert rule("classifier.weight") == DroppedKey("classifier.weight", "classifier of findings")


def test_the_architecture_is_told_from_the_file(encoder: CTClipEncoder) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in encoder.weights().items()}
    assert FAMILY.infer(shapes) == "ct_clip"
    assert FAMILY.infer({f"trained_model.{name}": shape for name, shape in shapes.items()}) == "ct_clip"
    del shapes["to_visual_latent.weight"]
    assert FAMILY.infer(shapes) is None
    assert family_of("ct_clip") is FAMILY
