from __future__ import annotations

import numpy as np
import pytest
import torch

from slicebank_models.training.bag_cache import open_cohort
from slicebank_models.training.bag_rows import BagRows
from slicebank_models.training.workspace import Workspace

CPU = torch.device("cpu")
LENGTHS = [3, 5, 2, 7, 4]
DIM = 4


class Bags:
    def __init__(self, offset: float) -> None:
        generator = np.random.default_rng(4)
        self.bags = [generator.normal(offset, 1, (length, DIM)).astype(np.float32) for length in LENGTHS]

    def features(self, index: int) -> np.ndarray:
        return self.bags[index]


def test_stored_chunks_hold_whole_bags_and_drawn_rows_as_they_are() -> None:
    bags = Bags(0.0)
    with open_cohort(bags, range(5), DIM) as cache:
        rows = BagRows(cache, CPU)
        rows.most = 8
        wanted = [(3, None), (1, np.array([0, 2])), (0, None), (2, None), (4, np.array([1, 3]))]
        chunks = list(rows.stored_chunks(wanted))
    assert [(chunk.lengths, chunk.common) for chunk in chunks] == [([7], 7), ([2, 3, 2], 0), ([2], 2)]
    found = torch.cat([chunk.rows for chunk in chunks]).numpy()
    expected = [bags.bags[index] if drawn is None else bags.bags[index][drawn] for index, drawn in wanted]
    np.testing.assert_array_equal(found, np.concatenate(expected))


@pytest.mark.parametrize("offset", [0.0, 3.0, 500.0])
@pytest.mark.parametrize("kept", [True, False])
def test_rows_for_products_are_less_of_the_offset_and_rounded_only_near_zero(offset: float, kept: bool) -> None:
    bags = Bags(offset)
    with open_cohort(bags, range(5), DIM) as cache:
        rows = BagRows(cache, CPU)
        rows.most = 8
        assert offset < 100 or rows.product_dtype is torch.float32
        found = {}
        for prepared in (False, True):
            if prepared:
                rows.prepare_products()
            chunks = rows.product_chunks([(index, None) for index in range(5)], kept=kept)
            found[prepared] = torch.cat([chunk.rows.clone() for chunk in chunks])
    assert found[True].dtype is rows.product_dtype
    exact = torch.from_numpy(np.concatenate(bags.bags) - cache.mean)
    step = 2.0**-8 if rows.product_dtype is torch.bfloat16 else 0.0
    torch.testing.assert_close(found[True].float(), exact, rtol=step, atol=0)


def test_kept_chunks_do_not_overwrite_each_other() -> None:
    with open_cohort(Bags(0.0), range(5), DIM) as cache:
        rows = BagRows(cache, CPU)
        rows.most = 6
        together = list(rows.product_chunks([(index, None) for index in range(5)], kept=True))
        alone = [next(iter(rows.product_chunks([(index, None)], kept=True))).rows.clone() for index in range(5)]
        together = list(rows.product_chunks([(index, None) for index in range(5)], kept=True))
    torch.testing.assert_close(torch.cat([chunk.rows for chunk in together]), torch.cat(alone), rtol=0, atol=0)


def test_buffers_are_used_again_and_grow() -> None:
    workspace = Workspace(CPU)
    first = workspace.take("a", 4, 3, torch.float32)
    assert workspace.take("a", 2, 3, torch.float32).data_ptr() == first.data_ptr()
    assert workspace.take("b", 4, 3, torch.float32).data_ptr() != first.data_ptr()
    assert workspace.take("a", 9, 3, torch.float32).shape == (9, 3)
