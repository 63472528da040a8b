"""Tensors that have the right name and count of numbers, and are not the weights all the same."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD
from slicebank_models.checkpoints import map_checkpoint
from slicebank_models.encoders.build import family_of
from slicebank_models.encoders.family import Reshaped
from slicebank_models.encoders.vmamba import VMambaEncoder
from slicebank_models.errors import CheckpointMismatch, UnreadableCheckpoint

ARCHITECTURE = "vmamba_tiny"
MATRIX = "layers.0.blocks.0.mlp.fc1.weight"


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with torch.device("meta"):
        encoder = VMambaEncoder(ARCHITECTURE, input_size=32, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return encoder.weights()


def map_with(matrix: Tensor, expected: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Maps a file that has `matrix` under MATRIX and zeros elsewhere."""
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in expected.items()} | {MATRIX: matrix}
    torch.save(tensors, folder / "x.pth")
    rules = partial(family_of(ARCHITECTURE).key_rules, ARCHITECTURE)
    return map_checkpoint(folder / "x.pth", expected, rules).tensors


def numbered(shape: tuple[int, ...]) -> Tensor:
    return torch.arange(384 * 96, dtype=torch.float32).view(shape)


@pytest.mark.parametrize("shape", [(384, 96), (384, 96, 1, 1)])
def test_a_matrix_comes_from_a_linear_layer_or_a_convolution(
    shape: tuple[int, ...], expected: dict[str, Tensor], tmp_path: Path
) -> None:
    assert torch.equal(map_with(numbered(shape), expected, tmp_path)[MATRIX], numbered((384, 96)))


@pytest.mark.parametrize("shape", [(96, 384), (96, 384, 1, 1), (384 * 96,), (192, 192)])
def test_as_many_numbers_in_another_order_are_refused(
    shape: tuple[int, ...], expected: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointMismatch) as refused:
        map_with(numbered(shape), expected, tmp_path)
    assert refused.value.wrong_shape == ((MATRIX, (384, 96), shape),)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_real_numbers_of_other_precisions_become_float32(
    dtype: torch.dtype, expected: dict[str, Tensor], tmp_path: Path
) -> None:
    stored = torch.full((384, 96), 0.375, dtype=dtype)
    found = map_with(stored, expected, tmp_path)[MATRIX]
    assert found.dtype is torch.float32
    assert torch.equal(found, torch.full((384, 96), 0.375))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_numbers_of_another_kind_are_refused(dtype: torch.dtype, expected: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint, match=MATRIX.replace(".", r"\.")):
        map_with(torch.ones((384, 96), dtype=dtype), expected, tmp_path)


def test_a_counters_name_inside_another_name_is_left_over(expected: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in expected.items()}
    key = "layers.0.num_batches_tracked_by.weight"
    torch.save(tensors | {key: torch.zeros(3)}, tmp_path / "x.pth")
    rules = partial(family_of(ARCHITECTURE).key_rules, ARCHITECTURE)
    with pytest.raises(CheckpointMismatch) as refused:
        map_checkpoint(tmp_path / "x.pth", expected, rules)
    assert refused.value.left_over == (key,)


def test_axes_of_length_one_are_all_that_may_differ() -> None:
    assert Reshaped("w", (4, 6)).fits((4, 6, 1, 1))
    assert Reshaped("w", (4, 6, 1)).fits((4, 6))
    assert not Reshaped("w", (4, 6)).fits((6, 4))
    assert not Reshaped("w", (4, 6)).fits((24,))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_numbers_that_are_not_finite_are_refused(value: float, expected: dict[str, Tensor], tmp_path: Path) -> None:
    stored = torch.zeros((384, 96), dtype=torch.float64)
    stored[3, 5] = value
    with pytest.raises(UnreadableCheckpoint, match="not finite"):
        map_with(stored, expected, tmp_path)
