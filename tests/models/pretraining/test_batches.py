from __future__ import annotations

import pytest
import torch

from slicebank_models.pretraining.batches import SliceBatch
from tests.models.pretraining.view_batches import batch_of, random_slices


def test_slices_with_a_box_are_annotated() -> None:
    batch = batch_of(random_slices(3, 8), [[(0, 0, 2, 2)], [], [(1, 1, 3, 3), (2, 2, 4, 4)]])

    assert batch.annotated.tolist() == [True, False, True]
    assert (len(batch), batch.side) == (3, 8)


def test_a_part_holds_the_same_slices() -> None:
    batch = batch_of(random_slices(5, 8), [[], [(0, 1, 2, 3)], [], [], []])
    part = batch.part(1, 3)

    assert len(part) == 2
    assert torch.equal(part.hu, batch.hu[1:3])
    assert part.boxes[0].tolist() == [[0, 1, 2, 3]]
    assert part.index.tolist() == [1, 2]
    assert part.annotated.tolist() == [True, False]


def test_moving_a_batch_keeps_types_and_values() -> None:
    batch = batch_of(random_slices(2, 8), [[(0, 1, 2, 3)], []])
    moved = batch.to("cpu")

    assert torch.equal(moved.hu, batch.hu)
    assert (moved.hu.dtype, moved.boxes.dtype) == (torch.int16, torch.float32)
    assert (moved.n_boxes.dtype, moved.index.dtype) == (torch.int64, torch.int64)
    assert batch.to("meta").boxes.device.type == "meta"


@pytest.mark.parametrize(
    ("hu", "boxes", "n_boxes"),
    [
        ((2, 8, 9), (2, 1, 4), (2,)),
        ((2, 8, 8), (3, 1, 4), (2,)),
        ((2, 8, 8), (2, 1, 5), (2,)),
        ((2, 8, 8), (2, 1, 4), (3,)),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    hu: tuple[int, ...], boxes: tuple[int, ...], n_boxes: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="must be"):
        SliceBatch(
            torch.zeros(hu, dtype=torch.int16),
            torch.zeros(boxes),
            torch.zeros(n_boxes, dtype=torch.int64),
            torch.arange(2),
        )
